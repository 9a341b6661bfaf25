"""Reach: where a map, resampled onto source pixels, reaches a level. Exact, and cheap.

`geometry.map_to_source(grid) >= level` says the same, at 25 ms for 5 megapixels of one map. Almost
all of that is spent far from any edge, where nothing has to be interpolated: between two
neighbours that both reach the level every pixel does, and between two that do not none does.

    grid --columns, as Pillow does it--> (rows of cells) x (source columns)
         --both neighbours reach: true, neither: false, one: interpolate these pixels--> mask
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry import Geometry

Float = np.float32


@dataclass(frozen=True)
class _Taps:
    """For each pixel along one axis the two cells around it and their weights, float64."""

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    low_weight: NDArray[np.float64]
    high_weight: NDArray[np.float64]


def reach(
    grid: NDArray[np.float32], level: float, geometry: Geometry
) -> tuple[NDArray[np.bool_], tuple[slice, slice]]:
    """Where a map over the square reaches a level in the source image.

    Args:
        grid: h x w, float32, over the whole square at any resolution h x w.
        level: compared with in single precision.
        geometry: where the source lies in the square.

    Returns:
        mask: rows x columns, bool; equal to `geometry.map_to_source(grid) >= level`.
        window: rows and columns outside of which the mask is empty.
    """
    shape = (geometry.rows, geometry.columns)
    per_y, per_x = grid.shape[0] / geometry.size, grid.shape[1] / geometry.size
    if geometry.scale_y * per_y > 1 or geometry.scale_x * per_x > 1:  # a reduction blurs further
        mask = geometry.map_to_source(grid) >= Float(level)
        return mask, (slice(0, shape[0]), slice(0, shape[1]))
    mask = np.zeros(shape, dtype=np.bool_)
    cells = grid >= Float(level)
    cell_rows, cell_columns = np.logical_or.reduce(cells, 1), np.logical_or.reduce(cells, 0)
    along_y = _taps(geometry.top, geometry.height, per_y, grid.shape[0], shape[0])
    along_x = _taps(geometry.left, geometry.width, per_x, grid.shape[1], shape[1])
    window = _touched(cell_rows, along_y), _touched(cell_columns, along_x)
    if window[0].start < window[0].stop and window[1].start < window[1].stop:
        y, x = _part(along_y, window[0]), _part(along_x, window[1])
        mask[window] = _within(grid, Float(level), y, x)
    return mask, window


def _taps(start: int, length: int, per_pixel: float, cells: int, count: int) -> _Taps:
    """Pillow's weights for an enlargement with its triangle filter.

    Source: Pillow, `src/libImaging/Resample.c`, `precompute_coeffs`; a box is kept there in
    single precision.
    """
    first, last = (Float(edge * per_pixel) for edge in (start, start + length))
    centre = float(first) + (np.arange(count) + 0.5) * (float(last - first) / count)
    low = np.minimum(np.maximum(np.trunc(centre - 0.5), 0).astype(np.intp), cells - 1)
    high = np.minimum(np.trunc(centre + 1.5).astype(np.intp), cells) - 1
    high = np.minimum(high, low + 1)  # on a cell's very centre rounding adds a third, of no weight
    low_weight = np.maximum(1.0 - np.abs(low - centre + 0.5), 0.0)
    high_weight = np.where(high > low, np.maximum(1.0 - np.abs(high - centre + 0.5), 0.0), 0.0)
    total = low_weight + high_weight
    return _Taps(low, np.maximum(high, low), low_weight / total, high_weight / total)


def _touched(reaches: NDArray[np.bool_], taps: _Taps) -> slice:
    """The pixels with a cell beside them that lies in a row or column that reaches the level."""
    found = np.flatnonzero(reaches[taps.low] | reaches[taps.high])
    return slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 0)


def _part(taps: _Taps, window: slice) -> _Taps:
    return _Taps(
        taps.low[window], taps.high[window], taps.low_weight[window], taps.high_weight[window]
    )


def _within(grid: NDArray[np.float32], level: Float, y: _Taps, x: _Taps) -> NDArray[np.bool_]:
    """The mask of a window: interpolate along x everywhere, along y only where edges are."""
    first = int(y.low[0])
    rows = grid[first : int(y.high[-1]) + 1]
    lines = (rows[:, x.low] * x.low_weight + rows[:, x.high] * x.high_weight).astype(Float)
    reaches = lines >= level
    starts, counts = _runs(y)  # of pixel rows that lie between the same two lines
    above, below = reaches[y.low[starts] - first], reaches[y.high[starts] - first]
    mask = np.repeat(above & below, counts, axis=0)
    run, column = np.nonzero(above != below)
    row, column = _spread(starts[run], counts[run]), np.repeat(column, counts[run])
    upper, lower = lines[y.low[row] - first, column], lines[y.high[row] - first, column]
    values = upper * y.low_weight[row] + lower * y.high_weight[row]
    mask[row, column] = values.astype(Float) >= level
    return mask


def _runs(taps: _Taps) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where pixels begin to lie between another two cells, and for how many pixels they do."""
    changes = (taps.low[1:] != taps.low[:-1]) | (taps.high[1:] != taps.high[:-1])
    starts = np.concatenate(([0], np.flatnonzero(changes) + 1))
    return starts, np.diff(starts, append=taps.low.size)


def _spread(starts: NDArray[np.intp], counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """start, start + 1, ... as many as counted, one start after the other."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if ends.size else 0
    return np.arange(total) + np.repeat(starts - ends + counts, counts)
