"""Measurement of a trained model: predictions, calibration, OOD statistics, zero-shot."""
