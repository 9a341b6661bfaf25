"""Entry points of the preprocessing; the version of the specification chooses the steps."""

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry.geometry import Geometry
from radiograph.image import Radiograph
from radiograph.preprocess import version_1, version_2
from radiograph.preprocess.model_input import ModelInput
from radiograph.preprocess.spec import PreprocessSpec

_STEPS = {1: version_1.to_input, 2: version_2.to_input}


def to_input(radiograph: Radiograph, spec: PreprocessSpec) -> ModelInput:
    """Place a radiograph on the grid of the model, with the gray levels that became 0 and 1."""
    return _STEPS[spec.version](radiograph, spec)


def to_grid(radiograph: Radiograph, spec: PreprocessSpec) -> tuple[NDArray[np.float32], Geometry]:
    """Place a radiograph on the grid of the model.

    Returns:
        intensities: size x size, float32 in [0, 1], 0 outside of the image.
        geometry: the placement of the image in that square.
    """
    placed = to_input(radiograph, spec)
    return placed.grid, placed.geometry


def normalise(grid: NDArray[np.float32], spec: PreprocessSpec) -> NDArray[np.float32]:
    """Return (intensities - mean) / std, float32, for an array of any shape."""
    return ((grid - np.float32(spec.mean)) / np.float32(spec.std)).astype(np.float32)


def preprocess(
    radiograph: Radiograph, spec: PreprocessSpec
) -> tuple[NDArray[np.float32], Geometry]:
    """Convert a radiograph into the input of the model.

    Returns:
        tensor: 1 x size x size, float32, normalised.
        geometry: the way back to source pixels.
    """
    grid, geometry = to_grid(radiograph, spec)
    return normalise(grid, spec)[None], geometry
