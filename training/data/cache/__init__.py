"""Rows become memory-mapped preprocessed images, built once."""
