"""Evaluation of a run: predictions, calibration on validation, and metrics with intervals."""
