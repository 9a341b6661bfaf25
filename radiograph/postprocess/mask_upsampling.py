"""Thresholding of a map at the resolution of the source, exactly and without resampling it all.

The result equals `geometry.map_to_source(grid) >= threshold`, which takes 25 ms for one map of 5
megapixels. Almost all of that time is spent far from any edge, where no interpolation is needed:
a pixel between two cells that both reach the threshold reaches it as well, and a pixel between
two cells that do not reach it does not.

    grid, h x w
      --interpolate along x, with Pillow's weights-->   lines, h x source columns
      --compare the two lines around each pixel row-->  mask, source rows x source columns
            both reach the threshold: true; neither: false; one: interpolate these pixels along y
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry.geometry import Geometry

Float = np.float32


@dataclass(frozen=True)
class _Taps:
    """Interpolation weights of the N pixels along one axis.

    Attributes:
        low, high: N, indices of the two cells around each pixel.
        low_weight, high_weight: N, their weights, which add up to 1.
    """

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    low_weight: NDArray[np.float64]
    high_weight: NDArray[np.float64]

    def __getitem__(self, window: slice) -> "_Taps":
        """Return the weights of some of the pixels."""
        return _Taps(
            self.low[window], self.high[window], self.low_weight[window], self.high_weight[window]
        )


def threshold_at_source(
    grid: NDArray[np.float32], threshold: float, geometry: Geometry
) -> tuple[NDArray[np.bool_], tuple[slice, slice]]:
    """Return the source pixels at which a map over the square grid reaches a threshold.

    Args:
        grid: h x w, float32, over the whole square at any resolution h x w.
        threshold: compared in single precision.
        geometry: the position of the source in the square.

    Returns:
        mask: rows x columns, bool; equal to `geometry.map_to_source(grid) >= threshold`.
        window: rows and columns outside of which the mask is empty.
    """
    mask, window = _threshold_upright(grid, threshold, geometry.of_part)
    if geometry.field is not None:
        mask, window = _uncropped(mask, window, threshold, geometry)
    if geometry.orientation.is_upright:
        return mask, window
    top, bottom, left, right = window[0].start, window[0].stop, window[1].start, window[1].stop
    x0, y0, x1, y1 = geometry.orientation.box_back(
        (left, top, right, bottom), geometry.rows, geometry.columns
    )
    turned = np.ascontiguousarray(geometry.orientation.turn_back(mask))
    return turned, (slice(int(y0), int(y1)), slice(int(x0), int(x1)))


def _uncropped(
    mask: NDArray[np.bool_], window: tuple[slice, slice], threshold: float, geometry: Geometry
) -> tuple[NDArray[np.bool_], tuple[slice, slice]]:
    """Return mask and window of the whole upright source for those of the part in the grid."""
    outside = bool(Float(0) >= Float(threshold))  # a map is 0 where the grid does not show it
    whole = geometry.uncropped(mask, outside)
    if outside:
        return whole, (slice(0, whole.shape[0]), slice(0, whole.shape[1]))
    rows, columns = window
    top, left = geometry.part.top, geometry.part.left
    return whole, (
        slice(rows.start + top, rows.stop + top),
        slice(columns.start + left, columns.stop + left),
    )


def _threshold_upright(
    grid: NDArray[np.float32], threshold: float, geometry: Geometry
) -> tuple[NDArray[np.bool_], tuple[slice, slice]]:
    """Return the mask and the window of `threshold_at_source` for a source that is upright."""
    shape = (geometry.rows, geometry.columns)
    per_y, per_x = grid.shape[0] / geometry.size, grid.shape[1] / geometry.size
    if geometry.scale_y * per_y > 1 or geometry.scale_x * per_x > 1:
        # A reduction averages over more than two cells, so the shortcut does not apply.
        mask = geometry.map_to_source(grid) >= Float(threshold)
        return mask, (slice(0, shape[0]), slice(0, shape[1]))
    mask = np.zeros(shape, dtype=np.bool_)
    cells = grid >= Float(threshold)
    cell_rows, cell_columns = np.logical_or.reduce(cells, 1), np.logical_or.reduce(cells, 0)
    along_y = _taps(geometry.top, geometry.height, per_y, grid.shape[0], shape[0])
    along_x = _taps(geometry.left, geometry.width, per_x, grid.shape[1], shape[1])
    window = _reachable(cell_rows, along_y), _reachable(cell_columns, along_x)
    if window[0].start < window[0].stop and window[1].start < window[1].stop:
        mask[window] = _mask_of_window(
            grid, Float(threshold), along_y[window[0]], along_x[window[1]]
        )
    return mask, window


def _taps(start: int, length: int, per_pixel: float, cells: int, count: int) -> _Taps:
    """Compute the weights that Pillow uses to enlarge with its triangle filter.

    Args:
        start, length: the part of the grid that the image covers, in grid pixels.
        per_pixel: cells of the map for each grid pixel.
        cells: cells along the axis.
        count: source pixels along the axis.

    Source: Pillow, `src/libImaging/Resample.c`, `precompute_coeffs`, which keeps the edges of
    the covered part in single precision.
    """
    first, last = (Float(edge * per_pixel) for edge in (start, start + length))
    centre = float(first) + (np.arange(count) + 0.5) * (float(last - first) / count)
    low = np.minimum(np.maximum(np.trunc(centre - 0.5), 0).astype(np.intp), cells - 1)
    high = np.minimum(np.trunc(centre + 1.5).astype(np.intp), cells) - 1
    # Exactly at the centre of a cell, rounding adds a third cell, whose weight is 0.
    high = np.minimum(high, low + 1)
    low_weight = np.maximum(1.0 - np.abs(low - centre + 0.5), 0.0)
    high_weight = np.where(high > low, np.maximum(1.0 - np.abs(high - centre + 0.5), 0.0), 0.0)
    total = low_weight + high_weight
    return _Taps(low, np.maximum(high, low), low_weight / total, high_weight / total)


def _reachable(reaches: NDArray[np.bool_], taps: _Taps) -> slice:
    """Return the range of pixels outside of which no neighbouring cell reaches the threshold.

    Args:
        reaches: for each row (or column) of cells, whether any of its cells does.
        taps: the weights along the same axis.
    """
    pixels = np.flatnonzero(reaches[taps.low] | reaches[taps.high])
    return slice(int(pixels[0]), int(pixels[-1]) + 1) if pixels.size else slice(0, 0)


def _mask_of_window(
    grid: NDArray[np.float32], threshold: Float, y: _Taps, x: _Taps
) -> NDArray[np.bool_]:
    """Return the mask of a window of R x C source pixels, interpolating along y at edges only."""
    first = int(y.low[0])
    rows = grid[first : int(y.high[-1]) + 1]
    # L x C, float32, rounded after the first axis as Pillow does.
    lines = (rows[:, x.low] * x.low_weight + rows[:, x.high] * x.high_weight).astype(Float)
    reaches = lines >= threshold  # L x C
    # Runs of consecutive pixel rows that lie between the same two lines.
    starts, counts = _runs(y)
    above, below = reaches[y.low[starts] - first], reaches[y.high[starts] - first]  # runs x C
    mask = np.repeat(above & below, counts, axis=0)  # R x C
    # The pixels of all runs between one line that reaches the threshold and one that does not.
    run, column = np.nonzero(above != below)
    row, column = _ranges(starts[run], counts[run]), np.repeat(column, counts[run])
    upper, lower = lines[y.low[row] - first, column], lines[y.high[row] - first, column]
    values = upper * y.low_weight[row] + lower * y.high_weight[row]
    mask[row, column] = values.astype(Float) >= threshold
    return mask


def _runs(taps: _Taps) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first pixel and the length of each run between the same two cells."""
    changes = (taps.low[1:] != taps.low[:-1]) | (taps.high[1:] != taps.high[:-1])
    starts = np.concatenate(([0], np.flatnonzero(changes) + 1))
    return starts, np.diff(starts, append=taps.low.size)


def _ranges(starts: NDArray[np.intp], counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Concatenate the ranges start, start + 1, ..., start + count - 1."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if ends.size else 0
    return np.arange(total) + np.repeat(starts - ends + counts, counts)
