"""Cache: preprocessed images of the selected rows, memory-mapped and built once.

cache          open_cache: the arrays and samples of a selection
build          selection of rows, chunks, manifest of the rows left out
worker_pool    processes that render chunks and survive crashing decoders
chunks render  rows -> files of chunks; one row -> pixels, mask bits and boxes
assemble       files of chunks -> one array
sample_index   Sample and its index on disk
row_counts enough_rows      numbers of radiographs and texts; whether they are enough for a batch
"""
