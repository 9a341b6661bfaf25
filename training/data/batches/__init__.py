"""From the cache to training batches: images and the targets of the heads.

collate           images and targets of the heads
region_targets lung_regions presence_balance      targets of phrases
statements        short sentences about the images of a batch
known_labels      whether the data tell about every label that a run learns
prefetch          loading ahead in threads
"""
