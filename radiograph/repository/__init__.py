"""The model repository on disk: versions that never change, and aliases that point to them.

opening --> repository --> publishing   a folder of files becomes a version, atomically
        |              --> aliases      aliases.json and its history
        |              --> integrity    digests, signatures and safe access to files
        '-> store                       the same of versions in an S3-compatible store
head_publishing --> repository          a version and one new head become the next version
"""
