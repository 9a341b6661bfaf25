"""One published version of the model g2d-cxr, found by g2d-radiograph where no other is named.

The folder `models` beside this file is a model repository; it never changes.
"""
