"""The model repository on disk: versions that never change, and aliases that point to them.

repository --> publishing           a folder of files becomes a version, atomically
           --> aliases              aliases.json and its history
           --> version_files        listing, digests, durable copies
                 --> onnx_external_data
head_publishing --> repository      a version and one new head become the next version
"""
