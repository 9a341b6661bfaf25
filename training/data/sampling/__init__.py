"""Choice of the rows that training sees, and their order.

row_selection     rows of a fine-tuning, and how often each is shown
row_groups        shares of groups of rows in an epoch
sampler           rows of each step
"""
