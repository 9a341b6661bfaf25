"""Exposed field: the rectangle that is left when constant borders are removed.

Collimation leaves a border of one brightness, black or white, and digitised or exported images have
a frame. A line of pixels belongs to the border of its side if almost all of it has the brightness
of the outermost line of that side. A letter of lead or a caption in the border does not end it.
"""

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry import Field

_TOLERANCE = 1 / 64
"""Difference of brightness that counts as none, as a share of the range of the image."""

_LINE_SHARE = 0.95
"""Share of a line that has to have the brightness of the border."""

_MIN_SIDE = 1 / 8
"""Share of each side that has to be left; else the image is taken to have no border."""

_ROUNDS = 2
"""Sides are visited twice, as a frame is found only where the lines of other sides are removed."""


def exposed_field(brightness: NDArray[np.float32], shown: NDArray[np.bool_] | None) -> Field:
    """Return the part of an image inside of its constant borders.

    Args:
        brightness: rows x columns, float32, any range.
        shown: rows x columns; pixels that are not shown belong to any border. None stands for all.

    Returns:
        The rectangle, which is the whole image if too little would be left.
    """
    rows, columns = brightness.shape
    visible = np.ones(brightness.shape, dtype=np.bool_) if shown is None else shown
    tolerance = _TOLERANCE * float(np.ptp(brightness[visible]))
    if tolerance == 0:
        return Field(0, 0, rows, columns)
    # For each side, the pixels that may belong to its border: rows x columns, bool.
    above, below = _alike_at_both_ends(brightness, visible, tolerance)
    before, behind = (alike.T for alike in _alike_at_both_ends(brightness.T, visible.T, tolerance))
    top, bottom, left, right = 0, rows, 0, columns
    for _ in range(_ROUNDS):
        top += _leading(above[top:bottom, left:right])
        bottom -= _leading(below[top:bottom, left:right][::-1])
        left += _leading(before[top:bottom, left:right].T)
        right -= _leading(behind[top:bottom, left:right].T[::-1])
        if bottom - top < _MIN_SIDE * rows or right - left < _MIN_SIDE * columns:
            return Field(0, 0, rows, columns)
    return Field(top, left, bottom - top, right - left)


def _alike_at_both_ends(
    brightness: NDArray[np.float32], visible: NDArray[np.bool_], tolerance: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which pixels are as bright as the first visible row, and which as the last.

    The brightness of a row is its median. Pixels that are not visible are alike.
    """
    lines = np.flatnonzero(visible.any(axis=1))
    first, last = (np.median(brightness[line][visible[line]]) for line in (lines[0], lines[-1]))
    return (
        (np.abs(brightness - first) <= tolerance) | ~visible,
        (np.abs(brightness - last) <= tolerance) | ~visible,
    )


def _leading(alike: NDArray[np.bool_]) -> int:
    """Return how many of the first rows are border, given which pixels may belong to it."""
    if alike.size == 0:
        return 0
    is_border = alike.mean(axis=1) >= _LINE_SHARE
    return len(is_border) if is_border.all() else int(np.argmin(is_border))
