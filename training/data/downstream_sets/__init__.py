"""Readers of the public downstream datasets."""
