"""Ground floor of the project: the code that training and service must share exactly.

    bytes --readers--> Radiograph --preprocess--> tensor + Geometry
    raw outputs --postprocess--> findings, masks, boxes, heat maps in source pixels
    manifest, repository: model versions on disk

Depends on numpy, pydantic, pydicom and pillow; imports nothing else of this project.
"""
