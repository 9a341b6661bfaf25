"""Readers of the public data sets with labels, masks or boxes, for fine-tuning and evaluation.

Each has two protocols: `sound` puts no patient into two splits, as far as the data tell; `mgca` is
the published split and rows, with their faults.
"""
