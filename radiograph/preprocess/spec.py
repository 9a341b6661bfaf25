"""Preprocessing of radiographs, shared by training and service.

    Radiograph, uint16 -> resize (aspect ratio kept, anti-aliased)
                       -> stretch percentiles to [0, 1] -> pad to a square with black
                       -> normalise -> 1 x size x size, float32

Every step is described by `PreprocessSpec`, which is part of the model's manifest.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from radiograph.geometry import Geometry
from radiograph.image import Radiograph
from radiograph.strict_model import StrictModel


class PreprocessSpec(StrictModel):
    """Parameters of the preprocessing. Equal parameters give equal tensors."""

    version: Literal[1] = 1
    size_px: int = Field(default=224, ge=32, le=2048, multiple_of=32)
    """Side of the square grid of the model, in pixels."""
    resize: Literal["bilinear_antialias"] = "bilinear_antialias"
    """Resampling filter: a triangle whose support grows with the reduction."""
    pad: Literal["centre_black"] = "centre_black"
    """Placement of the image in the square, and the value around it."""
    low_percentile: float = Field(default=0.5, ge=0, lt=50)
    """Percentile of the resized image, without padding, that becomes 0."""
    high_percentile: float = Field(default=99.5, gt=50, le=100)
    """Percentile of the resized image, without padding, that becomes 1."""
    mean: float = 0.5
    """Mean that is subtracted from intensities in [0, 1]."""
    std: float = Field(default=0.5, gt=0)
    """Standard deviation by which intensities are divided after that."""


def to_grid(radiograph: Radiograph, spec: PreprocessSpec) -> tuple[NDArray[np.float32], Geometry]:
    """Place a radiograph on the grid of the model.

    Returns:
        intensities: size x size, float32 in [0, 1], 0 outside of the image.
        geometry: the placement of the image in that square.
    """
    orientation = radiograph.orientation
    geometry = Geometry.fit(radiograph.rows, radiograph.columns, spec.size_px, orientation)
    # Turned after the resize, where the pixels are few; the order makes no difference.
    height, width = orientation.stored_shape(geometry.height, geometry.width)
    image = Image.fromarray(radiograph.pixels.astype(np.float32))
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    small = orientation.turn(np.asarray(resized, dtype=np.float32))
    low, high = np.percentile(small, (spec.low_percentile, spec.high_percentile))
    grid = np.zeros((spec.size_px, spec.size_px), dtype=np.float32)
    if high > low:  # a flat image has no contrast to stretch and stays black
        rows = slice(geometry.top, geometry.top + geometry.height)
        columns = slice(geometry.left, geometry.left + geometry.width)
        grid[rows, columns] = np.clip((small - low) / (high - low), 0.0, 1.0)
    return grid, geometry


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
