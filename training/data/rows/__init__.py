"""Rows of a data set, their annotations, and the files that hold them.

reader             Row, and the Reader interface that yields rows
dataset_files      folders, CSV files and paths of a data set on disk
radiograph_table   reader of the CSV format of this project
splits label_subsets      training, validation and test patients; labelled fractions of them
labels masks shapes siim_rle      findings, masks and boxes
"""
