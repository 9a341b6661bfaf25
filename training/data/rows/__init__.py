"""Rows of a data set, and the files that hold them.

reader             Row, and the Reader interface that yields rows
dataset_files      folders, CSV files and paths of a data set on disk
splits label_subsets      training, validation and test patients; labelled fractions of them
selection licences        rows that a run may use, each image once
"""
