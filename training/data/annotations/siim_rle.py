"""Run-length codes of masks in the SIIM-ACR format.

    "387620 23 996 33 ..."   pairs: number of pixels between the end of the last run and this
                             run, and length of the run; pixels are counted from 0, down each
                             column
    "-1"                     no mask

Source: the data page of kaggle.com/c/siim-acr-pneumothorax-segmentation (relative starts).
"""

import numpy as np
from numpy.typing import NDArray

from training.data.rows.dataset_files import AnnotationRefused

NONE = "-1"
_DIGITS = 9
"""Largest number of digits of a pixel number in any image; longer ones are not parsed."""


class MalformedRuns(AnnotationRefused):
    """A run-length code is impossible for its image."""


def runs(code: str, rows: int, columns: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first pixel of each run and the pixel after its last, in column-major order.

    Args:
        code: pairs of numbers; not "-1".
        rows, columns: size of the mask.

    Raises:
        MalformedRuns: the code is not pairs of whole numbers, or goes past the last pixel.
    """
    words = code.split()
    if not words or len(words) % 2 or not all(_is_count(word) for word in words):
        raise MalformedRuns("malformed run-length code")
    # Gaps and lengths alternate, so their running sum alternates between starts and stops.
    ends = np.cumsum(np.array(words, dtype=np.int64))
    starts, stops = ends[0::2], ends[1::2]
    if stops[-1] > rows * columns:
        raise MalformedRuns("run-length code past the image")
    return starts, stops


def _is_count(word: str) -> bool:
    return len(word) <= _DIGITS and word.isascii() and word.isdigit()


def mask(code: str, rows: int, columns: int) -> NDArray[np.bool_]:
    """Decode the mask, rows x columns.

    Raises:
        MalformedRuns: see `runs`.
    """
    starts, stops = runs(code, rows, columns)
    # +1 at each start and -1 at each stop; the running sum is positive inside the runs.
    steps = np.zeros(rows * columns + 1, dtype=np.int32)
    np.add.at(steps, starts, 1)
    np.add.at(steps, stops, -1)
    inside: NDArray[np.bool_] = np.cumsum(steps[:-1]) > 0
    return inside.reshape(columns, rows).T


def bounds(code: str, rows: int, columns: int) -> tuple[float, float, float, float] | None:
    """Return the half-open box (x0, y0, x1, y1) around the mask; None if it is empty.

    Raises:
        MalformedRuns: see `runs`.
    """
    starts, stops = runs(code, rows, columns)
    filled = stops > starts
    starts, last = starts[filled], stops[filled] - 1
    if not len(starts):
        return None
    # A run that continues in the next column reaches the bottom of one and the top of the other.
    wraps = bool((starts // rows != last // rows).any())
    top, bottom = (0, rows) if wraps else ((starts % rows).min(), (last % rows).max() + 1)
    left, right = (starts // rows).min(), (last // rows).max() + 1
    return float(left), float(top), float(right), float(bottom)
