"""Shards: the rows of a cache in a folder or an S3-compatible store, for runs on several nodes.

open_rows    the rows of a run, from its shards or from its cache
write        a cache -> shards, in the layout of litdata
manifest     names, sizes and checksums of the files of a set, and the selection that it holds
store        folder or S3-compatible store;  local_files: fetched, verified and mapped files
"""
