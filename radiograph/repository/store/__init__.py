"""A repository in an S3-compatible store, read from a local mirror.

stored_repository --> object_store   blobs by digest, and files that replace one another
                  --> mirror         versions of the store in a local folder, each checked
"""
