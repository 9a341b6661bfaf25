"""Preprocessing, version 1.

samples -> look up all -> resize (aspect ratio kept, anti-aliased) -> turn upright
        -> stretch percentiles to [0, 1] -> pad to a square with black
"""

import numpy as np
from PIL import Image

from radiograph.image import Radiograph
from radiograph.preprocess.model_input import ModelInput, stretch
from radiograph.preprocess.spec import PreprocessSpec, place


def to_input(radiograph: Radiograph, spec: PreprocessSpec) -> ModelInput:
    """Place a radiograph on the grid of the model."""
    orientation = radiograph.orientation
    geometry = place(spec, radiograph.rows, radiograph.columns, radiograph.spacing_mm, orientation)
    # Turned after the resize, where the pixels are few; the order makes no difference.
    height, width = orientation.stored_shape(geometry.height, geometry.width)
    # Pillow needs float32; a table of that type saves the conversion of every pixel.
    pixels = radiograph.look_up(radiograph.table.pixels.astype(np.float32))
    resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return stretch(orientation.turn(np.asarray(resized, dtype=np.float32)), geometry, spec)
