"""Readers: the bytes of a DICOM, PNG or JPEG file become a `Radiograph`.

    read --> dicom --> part10 --> attributes     the data set, parsed within limits
         |         --> header_warnings           what the header warns of
         |         --> codecs                    encoded frame -> stored samples
         |         --> grayscale                 stored samples -> displayed pixels
         |         --> pixel_spacing             millimetres
         '-> raster                              PNG and JPEG

Nothing here depends on a model.
"""
