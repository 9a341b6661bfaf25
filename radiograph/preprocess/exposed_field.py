"""Exposed field: the rectangle that is left when constant borders are removed.

Collimation leaves a border of one brightness, black or white, and digitised or exported images have
a frame. A line of pixels belongs to the border of its side if almost all of it has the brightness
of the outermost line of that side. A letter of lead or a caption in the border does not end it.
"""

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry.geometry import Field

_TOLERANCE = 1 / 64
"""Difference of brightness that counts as none, as a share of the range of the image."""

_LINE_SHARE = 0.95
"""Share of a line that has to have the brightness of the border."""

_MIN_SIDE = 1 / 8
"""Share of each side that has to be left; else the image is taken to have no border."""

_ALONG = 4
"""Every fourth pixel of a line is looked at."""

_ROUNDS = 2
"""Sides are visited twice, as a frame is found only where the lines of other sides are removed."""


def exposed_field(brightness: NDArray[np.float32], shown: NDArray[np.bool_] | None) -> Field:
    """Return the part of an image inside of its constant borders.

    Args:
        brightness: rows x columns, float32, any range.
        shown: rows x columns; pixels that are not shown belong to any border. None stands for all.

    Returns:
        The rectangle, which is the whole image if too little would be left, or nothing but one
        brightness.
    """
    rows, columns = brightness.shape
    visible = np.ones(brightness.shape, dtype=np.bool_) if shown is None else shown
    tolerance = _TOLERANCE * float(np.ptp(brightness if shown is None else brightness[shown]))
    if tolerance == 0 or (shown is None and not _has_border(brightness, tolerance)):
        return Field(0, 0, rows, columns)
    # For each side, which pixels may belong to its border, in lines along the side.
    rows_alike = _alike_at_both_ends(brightness, visible, tolerance)
    columns_alike = _alike_at_both_ends(brightness.T, visible.T, tolerance)
    top, bottom, left, right = 0, rows, 0, columns
    for _ in range(_ROUNDS):
        top, bottom = _inner(rows_alike, (top, bottom), (left, right))
        left, right = _inner(columns_alike, (left, right), (top, bottom))
        if bottom - top < _MIN_SIDE * rows or right - left < _MIN_SIDE * columns:
            return Field(0, 0, rows, columns)
    field = Field(top, left, bottom - top, right - left)
    inside = brightness[field.window][visible[field.window]]
    is_flat = inside.size == 0 or np.ptp(inside) <= tolerance
    return Field(0, 0, rows, columns) if is_flat else field


def _has_border(brightness: NDArray[np.float32], tolerance: float) -> bool:
    """Return whether the outermost line of any side is a border; most images have none."""
    return any(
        np.count_nonzero(np.abs(line - _median(line)) <= tolerance) / line.size >= _LINE_SHARE
        for line in (brightness[0], brightness[-1], brightness[:, 0], brightness[:, -1])
    )


def _median(line: NDArray[np.float32]) -> np.float32:
    """Return the median as `numpy.median` does, which is slow for a few hundred values."""
    ordered, middle = np.sort(line), line.size // 2
    if line.size % 2:
        return np.float32(ordered[middle])
    return np.float32((ordered[middle - 1] + ordered[middle]) / np.float32(2))


def _alike_at_both_ends(
    brightness: NDArray[np.float32], visible: NDArray[np.bool_], tolerance: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which pixels are as bright as the first visible line, and which as the last.

    The brightness of a line is its median. Pixels that are not visible are alike.

    Args:
        brightness, visible: lines x length.
        tolerance: difference of brightness that counts as none.

    Returns:
        Two arrays of lines x length / `_ALONG`, with every `_ALONG`th pixel of each line.
    """
    lines = np.flatnonzero(visible.any(axis=1))
    first, last = (np.median(brightness[line][visible[line]]) for line in (lines[0], lines[-1]))
    # Each line contiguous, as lines are compared twice and then averaged.
    some = np.ascontiguousarray(brightness[:, ::_ALONG])
    hidden = ~np.ascontiguousarray(visible[:, ::_ALONG])
    return (
        (np.abs(some - first) <= tolerance) | hidden,
        (np.abs(some - last) <= tolerance) | hidden,
    )


def _inner(
    alike: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    lines: tuple[int, int],
    along: tuple[int, int],
) -> tuple[int, int]:
    """Return the range of lines that is left without the borders at both of its ends.

    Args:
        alike: for the first and the last line, which pixels are as bright.
        lines: range of lines that is considered.
        along: part of each line that is considered, in pixels.
    """
    start, stop = lines
    first, end = (-(-position // _ALONG) for position in along)  # of every `_ALONG`th pixel
    part = slice(first, end)
    start += _leading(alike[0][start:stop, part])
    stop -= _leading(alike[1][start:stop, part][::-1])
    return start, stop


def _leading(alike: NDArray[np.bool_]) -> int:
    """Return how many of the first lines are border, given which pixels may belong to it."""
    if alike.size == 0:
        return 0
    is_border = alike.mean(axis=1) >= _LINE_SHARE
    return len(is_border) if is_border.all() else int(np.argmin(is_border))
