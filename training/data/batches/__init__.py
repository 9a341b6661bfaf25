"""From the cache to training batches.

row_selection     rows of a fine-tuning, and how often each is shown
row_groups        shares of groups of rows in an epoch
sampler           rows of each step
collate           images and targets of the heads
region_targets lung_regions       targets of phrases
augment warp      random changes of images, masks and boxes
appearance        random differences between hospitals, devices and exports
draws             random numbers for each image
prefetch          loading ahead in threads
"""
