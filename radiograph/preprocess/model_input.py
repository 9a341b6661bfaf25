"""Model input: intensities on the square grid of the model, and where they come from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry.geometry import Geometry
from radiograph.preprocess.percentiles import percentiles
from radiograph.preprocess.spec import PreprocessSpec


@dataclass(frozen=True, eq=False)
class ModelInput:
    """A radiograph on the grid of the model.

    Attributes:
        grid: size x size, float32 in [0, 1], 0 outside of the image.
        geometry: the placement of the image in that square.
        black, white: brightness, 0 to 65535, that became 0 and 1; equal if the image is flat.
    """

    grid: NDArray[np.float32]
    geometry: Geometry
    black: float
    white: float


def stretch(
    small: NDArray[np.float32],
    geometry: Geometry,
    spec: PreprocessSpec,
    shown: NDArray[np.bool_] | None = None,
) -> ModelInput:
    """Stretch the percentiles of a resized image to [0, 1], and pad it to a square with black.

    Args:
        small: height x width, float32, brightness from 0 to 65535.
        geometry: the placement of the image.
        spec: the percentiles.
        shown: height x width; all other pixels have no part in the percentiles and become black.
            None stands for all.
    """
    counted = small if shown is None else small[shown]
    low, high = percentiles(counted, spec.low_percentile, spec.high_percentile)
    grid = np.zeros((spec.size_px, spec.size_px), dtype=np.float32)
    if high > low:  # a flat image has no contrast to stretch and stays black
        rows = slice(geometry.top, geometry.top + geometry.height)
        columns = slice(geometry.left, geometry.left + geometry.width)
        stretched = np.clip((small - low) / (high - low), 0.0, 1.0)
        grid[rows, columns] = stretched if shown is None else np.where(shown, stretched, 0.0)
    return ModelInput(grid, geometry, float(low), float(high))
