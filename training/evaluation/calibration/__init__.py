"""Calibration of a run on the validation split, and the statistics of its training data."""
