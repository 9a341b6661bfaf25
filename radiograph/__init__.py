"""The ground floor: what training and the service must share exactly.

    bytes -> dicom.read / raster.read -> Radiograph -> preprocess -> tensor + Geometry
    raw outputs -> heads -> labels, masks, boxes, heat maps in source pixels

Depends on numpy, pydantic, pydicom and pillow; imports nothing else of this project.
"""
