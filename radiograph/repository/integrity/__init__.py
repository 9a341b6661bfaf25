"""Proof that the files of a version are those that were published, and safe access to them.

signatures      who published a version
index           index.json, the digest of each version when it was published
version_files   listing, digests, durable copies
    --> onnx_external_data
"""
