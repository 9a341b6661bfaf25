"""Preprocessing, version 1.

samples -> look up all -> resize (aspect ratio kept, anti-aliased) -> turn upright
        -> stretch percentiles to [0, 1] -> pad to a square with black
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radiograph.image import IDENTITY, Radiograph
from radiograph.preprocess.model_input import ModelInput, stretch
from radiograph.preprocess.spec import PreprocessSpec, place

_STRIP_PX = 2**18


def to_input(radiograph: Radiograph, spec: PreprocessSpec) -> ModelInput:
    """Place a radiograph on the grid of the model."""
    orientation = radiograph.orientation
    geometry = place(spec, radiograph.rows, radiograph.columns, radiograph.pixel_sides, orientation)
    # Turned after the resize, where the pixels are few; the order makes no difference.
    height, width = orientation.stored_shape(geometry.height, geometry.width)
    return stretch(orientation.turn(_resized(radiograph, height, width)), geometry, spec)


def _resized(radiograph: Radiograph, height: int, width: int) -> NDArray[np.float32]:
    """Return the displayed pixels as stored, resized to height x width by Pillow.

    Pillow resizes every row first, and then every column of the result. Doing the former strip by
    strip gives the same bits in less than half of the time, because no array of float32 has the
    size of the image.
    """
    # Samples that are displayed pixels themselves need no look-up.
    is_displayed = radiograph.table is IDENTITY
    table = None if is_displayed else radiograph.table.pixels.astype(np.float32)
    lines = np.empty((radiograph.rows, width), dtype=np.float32)
    rows = max(1, _STRIP_PX // radiograph.columns)
    for start in range(0, radiograph.rows, rows):
        strip = radiograph.samples[start : start + rows]
        # No index can be out of range; `wrap` avoids the check.
        shown = strip.astype(np.float32) if table is None else np.take(table, strip, mode="wrap")
        lines[start : start + rows] = _resize(shown, len(strip), width)
    return _resize(lines, height, width)


def _resize(image: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.float32)
