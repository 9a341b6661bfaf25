"""Masks and heat maps of results as arrays."""

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import MalformedInput

if TYPE_CHECKING:
    from g2d.results.result import Heatmap, RunLengths

_MAX_PIXELS = 2**30


def mask_of(rle: "RunLengths") -> NDArray[np.bool_]:
    """Return the mask of run lengths, rows x columns.

    Raises:
        MalformedInput: the run lengths do not fill the mask, or are in another form.
    """
    from service.encoders import coco_rle

    rows, columns = rle.size
    if rle.encoding != "coco_uncompressed" or isinstance(rle.counts, str):
        raise MalformedInput(f"run lengths of the form {rle.encoding} are not read")
    fills = 0 < rows * columns == sum(rle.counts) <= _MAX_PIXELS
    if not fills or min(rows, *rle.counts) < 0:
        raise MalformedInput(f"the run lengths do not fill {rows} x {columns} pixels")
    return coco_rle.decode(list(rle.counts), rows, columns)


def numbers_of(heatmap: "Heatmap") -> NDArray[np.float32] | None:
    """Return the values of a heat map, rows x columns; None if the answer was without them.

    Raises:
        MalformedInput: the data are damaged or not of this size.
    """
    if heatmap.data is None:
        return None
    try:
        array = _png(heatmap, heatmap.data) if isinstance(heatmap.data, str) else heatmap.data
        return np.array(array, dtype=np.float32).reshape(heatmap.rows, heatmap.columns)
    except (ValueError, OSError) as error:  # no PNG, rows of different lengths, or too few
        raise MalformedInput(f"the heat map is not {heatmap.rows} x {heatmap.columns}") from error


def _png(heatmap: "Heatmap", data: str) -> NDArray[np.float64]:
    from PIL import Image

    file = io.BytesIO(base64.b64decode(data, validate=True))
    with Image.open(file, formats=("PNG",)) as image:
        if image.size != (heatmap.columns, heatmap.rows):
            raise ValueError("another size")  # before a large picture is decoded
        return np.asarray(image.convert("L"), dtype=np.float64) / 255
