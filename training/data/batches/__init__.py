"""From the cache to training batches: sampling, augmentation, collation and prefetching."""
