"""The only preprocessing there is: training and service both call it.

    Radiograph -> resize (aspect kept, anti-aliased) -> stretch percentiles to [0, 1]
               -> pad to a square with black -> normalise -> 1 x size x size float32

Every step is written down in `PreprocessSpec`, which travels in the model's manifest.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from radiograph.geometry import Geometry
from radiograph.image import Radiograph


class PreprocessSpec(BaseModel):
    """How pixels become the model's input. Two equal specs give equal tensors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    size_px: int = Field(default=224, ge=32, le=2048, multiple_of=32)
    """Side of the square grid, in pixels."""
    resize: Literal["bilinear_antialias"] = "bilinear_antialias"
    """Triangle filter whose support grows with the reduction."""
    pad: Literal["centre_black"] = "centre_black"
    """Where the image lies in the square, and what surrounds it."""
    low_percentile: float = Field(default=0.5, ge=0, lt=50)
    """This percentile of the resized image, padding left out, becomes 0."""
    high_percentile: float = Field(default=99.5, gt=50, le=100)
    """This percentile of the resized image, padding left out, becomes 1."""
    mean: float = 0.5
    """Subtracted from intensities in [0, 1]."""
    std: float = Field(default=0.5, gt=0)
    """Divides intensities after the mean is subtracted."""


def to_grid(radiograph: Radiograph, spec: PreprocessSpec) -> tuple[NDArray[np.float32], Geometry]:
    """Place a radiograph on the model's grid.

    Returns:
        intensities: size x size, float32 in [0, 1], black outside of the image.
        geometry: where the image lies in that square.
    """
    geometry = Geometry.fit(radiograph.rows, radiograph.columns, spec.size_px)
    image = Image.fromarray(radiograph.pixels.astype(np.float32))
    small = np.asarray(
        image.resize((geometry.width, geometry.height), Image.Resampling.BILINEAR),
        dtype=np.float32,
    )
    low, high = np.percentile(small, (spec.low_percentile, spec.high_percentile))
    grid = np.zeros((spec.size_px, spec.size_px), dtype=np.float32)
    if high > low:  # a flat image carries no information and stays black
        rows = slice(geometry.top, geometry.top + geometry.height)
        columns = slice(geometry.left, geometry.left + geometry.width)
        grid[rows, columns] = np.clip((small - low) / (high - low), 0.0, 1.0)
    return grid, geometry


def normalise(grid: NDArray[np.float32], spec: PreprocessSpec) -> NDArray[np.float32]:
    """Intensities in [0, 1], ... x size x size -> normalised values, same shape, float32."""
    return ((grid - np.float32(spec.mean)) / np.float32(spec.std)).astype(np.float32)


def preprocess(
    radiograph: Radiograph, spec: PreprocessSpec
) -> tuple[NDArray[np.float32], Geometry]:
    """Radiograph -> model input.

    Returns:
        tensor: 1 x size x size, float32, normalised.
        geometry: the way back to source pixels.
    """
    grid, geometry = to_grid(radiograph, spec)
    return normalise(grid, spec)[None], geometry
