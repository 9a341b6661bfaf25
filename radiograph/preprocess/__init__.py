"""Preprocessing of radiographs, shared by training and service.

    Radiograph --to_input--> intensities in [0, 1] on the square grid of the model, Geometry
               --normalise--> 1 x size x size, float32

    spec             `PreprocessSpec`, which is part of the model's manifest
    preprocess       the entry points; the version of the specification chooses the steps
    version_1        resize all displayed pixels, percentiles of the whole image
    version_2        reduce the stored samples first, percentiles of the exposed field
    area_reduction   mean of blocks of samples, in integers
    exposed_field    borders of constant brightness

Equal specifications give equal tensors, whatever the version of this code.
"""

from radiograph.preprocess.model_input import ModelInput
from radiograph.preprocess.preprocess import normalise, preprocess, to_grid, to_input
from radiograph.preprocess.spec import PreprocessSpec, place

__all__ = [
    "ModelInput",
    "PreprocessSpec",
    "normalise",
    "place",
    "preprocess",
    "to_grid",
    "to_input",
]
