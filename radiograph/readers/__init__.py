"""Readers: the bytes of a DICOM, PNG or JPEG file become a `Radiograph`.

Nothing here knows a model.
"""
