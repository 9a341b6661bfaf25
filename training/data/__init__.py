"""Data sets, from their files on disk to training batches.

rows                                 Row, Reader, files, labels, masks, splits
pretraining_sets, downstream_sets    one reader for each public data set
catalog                              name -> reader
text                                 report sections, synthetic reports, phrases, prompts
cache                                rows -> preprocessed images, memory-mapped
shards                               cache <-> shards in a folder or an S3-compatible store
batches                              cache -> batches: sampling, augmentation, targets
"""
