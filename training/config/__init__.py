"""Schemas of every configuration and the code that reads them from YAML; imports no torch.

model engine augmentation          the components that runs share
run           the keys of every run, and the rows that it reads
row_groups    shares of groups of rows in an epoch
pretrain finetune                  the two kinds of run
experiments   recipes, tasks and tables of experiments
files         YAML file or shipped name -> one of the above
"""
