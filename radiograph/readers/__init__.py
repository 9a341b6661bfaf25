"""Readers: the bytes of a DICOM, PNG or JPEG file become a `Radiograph`.

    read --> dicom --> part10           the data set, parsed within limits
         |         --> header           view, sides, millimetres, and warnings
         |         --> codecs           encoded frame -> stored samples
         |         --> sample_layout    which bits of a sample are the value
         |         --> display          stored samples -> displayed pixels, shutter
         '-> raster --> codecs          PNG and JPEG

Nothing here depends on a model.
"""
