"""From the stored samples of a DICOM image to displayed pixels: look-up tables, windows, shutters.

grayscale   the whole transformation, as one table for all samples
voi         VOI LUT or window, and the range that is displayed where neither is usable
palettes    gray palettes
shutters    display shutter, which covers the edge of the image
"""
