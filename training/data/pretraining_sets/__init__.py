"""Readers of the public data sets of images and reports, for pre-training.

A reader opens a data set as it was unpacked, in `<root>/<name>` or in `root`, and yields a row for
each image; rows that cannot be used carry the reason in `left_out`.
"""
