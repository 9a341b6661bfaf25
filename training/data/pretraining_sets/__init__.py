"""Readers of the public image-report datasets."""
