"""Schemas of every configuration and the code that reads them from YAML; imports no torch.

model engine augmentation          the components that runs share
run           the keys of every run, the rows that it reads, and their shares of an epoch
pretrain finetune                  the two kinds of run
description   what the labels, masks and boxes of a data set mean
experiments   recipes, tasks and tables of experiments
files         YAML file or shipped name -> one of the above
"""
