"""Run-length codes of masks, as SIIM-ACR writes them.

    "387620 23 996 33 ..."   pairs of how many pixels to leave out since the last run, and the
                             length of the run; pixels are counted from 0, down each column
    "-1"                     no mask

Source: the data page of kaggle.com/c/siim-acr-pneumothorax-segmentation (relative starts).
"""

import numpy as np
from numpy.typing import NDArray

from training.data.rows.dataset_files import AnnotationRefused

NONE = "-1"
_DIGITS = 9
"""No image has a pixel whose number is longer; longer numbers are not even read."""


class MalformedRuns(AnnotationRefused):
    """A run-length code that cannot be one of this image."""


def runs(code: str, rows: int, columns: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each run starts and where the pixel after it is, in column-major order.

    Args:
        code: the pairs; not "-1".
        rows, columns: of the mask.

    Raises:
        MalformedRuns: no pairs of whole numbers, or past the last pixel.
    """
    words = code.split()
    if not words or len(words) % 2 or not all(_is_count(word) for word in words):
        raise MalformedRuns("malformed run-length code")
    ends = np.cumsum(np.array(words, dtype=np.int64))
    starts, stops = ends[0::2], ends[1::2]
    if stops[-1] > rows * columns:
        raise MalformedRuns("run-length code past the image")
    return starts, stops


def _is_count(word: str) -> bool:
    return len(word) <= _DIGITS and word.isascii() and word.isdigit()


def mask(code: str, rows: int, columns: int) -> NDArray[np.bool_]:
    """The mask, rows x columns.

    Raises:
        MalformedRuns: see `runs`.
    """
    starts, stops = runs(code, rows, columns)
    steps = np.zeros(rows * columns + 1, dtype=np.int32)
    np.add.at(steps, starts, 1)
    np.add.at(steps, stops, -1)
    inside: NDArray[np.bool_] = np.cumsum(steps[:-1]) > 0
    return inside.reshape(columns, rows).T


def bounds(code: str, rows: int, columns: int) -> tuple[float, float, float, float] | None:
    """The half-open box (x0, y0, x1, y1) around the mask; None where no run has a pixel.

    Raises:
        MalformedRuns: see `runs`.
    """
    starts, stops = runs(code, rows, columns)
    filled = stops > starts
    starts, last = starts[filled], stops[filled] - 1
    if not len(starts):
        return None
    wraps = bool((starts // rows != last // rows).any())  # such a run has a whole column's ends
    top, bottom = (0, rows) if wraps else ((starts % rows).min(), (last % rows).max() + 1)
    left, right = (starts // rows).min(), (last // rows).max() + 1
    return float(left), float(top), float(right), float(bottom)
