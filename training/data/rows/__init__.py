"""Rows of a dataset and their annotations."""
