"""JPEG: baseline, extended and lossless, with proof that the scan of a picture is whole.

decode --> lossless   lossless JPEG, decoded and proved in one pass
       --> damage     what libjpeg complains of, for all other JPEG
markers               segments of JPEG and JPEG-LS, and where a picture ends
"""
