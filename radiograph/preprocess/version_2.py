"""Preprocessing, version 2: stored samples are reduced before they are looked up.

    samples --mean of blocks, in integers--> reduced samples --table, interpolated--> brightness
            --turn upright--> --resize: square pixels, anti-aliased--> stretch percentiles to [0, 1]
            --pad to a square with black-->

Hidden pixels have no part in the percentiles and are black: padding, what a display shutter covers,
and borders of constant brightness. With `crop: exposed_field`, the rectangle around all other
pixels fills the square.

Blocks have an even number of samples along each side, such that the reduced image still has at
least four thirds of the resolution of the grid. The table is applied to the mean of a block,
rather than the mean taken of looked-up samples: both agree where the table is straight, and differ
where a window saturates or bends within one block, which is three quarters of a pixel of the grid
at most. The table is interpolated, because the mean of samples of few bits lies between two
samples.

Every step commutes with turning: a picture gives the same grid however it is stored.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radiograph.geometry.geometry import Field, Geometry
from radiograph.image import IDENTITY, DisplayTable, Radiograph
from radiograph.preprocess.area_reduction import Blocks, Sums, block_sums
from radiograph.preprocess.exposed_field import exposed_field
from radiograph.preprocess.model_input import ModelInput, stretch
from radiograph.preprocess.spec import PreprocessSpec, place

_OVERSAMPLING = 4 / 3
"""Least resolution of the reduced image, in pixels for each pixel of the grid."""

_MAX_BLOCK = 128
_CHUNK_PX = 2**14
"""Pixels that are looked up at once, so that intermediate values stay in the cache."""

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Reduced:
    """A part of an image, upright, with one pixel for each block of samples.

    Attributes:
        brightness: h x w, float32, 0 to 65535; of no meaning where nothing is shown.
        shown: h x w, or None if everything is shown.
        part: the part, in pixels of the upright image.
        step: rows and columns of a block, upright. The last of each axis may be partial.
    """

    brightness: Floats
    shown: Mask | None
    part: Field
    step: tuple[int, int]

    def field(self, blocks: Field) -> Field:
        """Return a rectangle of blocks in pixels of the upright image."""
        top, left = blocks.top * self.step[0], blocks.left * self.step[1]
        bottom = min((blocks.top + blocks.rows) * self.step[0], self.part.rows)
        right = min((blocks.left + blocks.columns) * self.step[1], self.part.columns)
        return Field(self.part.top + top, self.part.left + left, bottom - top, right - left)

    def within(self, blocks: Field) -> "_Reduced":
        """Return the same pixels, of which only a rectangle of blocks is shown."""
        if blocks == Field(0, 0, *self.brightness.shape):
            return self
        inside = np.zeros(self.brightness.shape, dtype=np.bool_)
        inside[blocks.window] = True
        shown = inside if self.shown is None else inside & self.shown
        return _Reduced(self.brightness, shown, self.part, self.step)


def to_input(radiograph: Radiograph, spec: PreprocessSpec) -> ModelInput:
    """Place a radiograph on the grid of the model."""
    geometry = _place(radiograph, spec, None)
    reduced = _reduce(radiograph, geometry)
    blocks = exposed_field(reduced.brightness, reduced.shown)
    if spec.crop == "exposed_field":
        blocks = _bounds_of_shown(reduced.within(blocks))
        field = reduced.field(blocks)
        if field != geometry.part:
            geometry = _place(radiograph, spec, field)
            return _resized(_cropped(reduced, blocks, radiograph, geometry), geometry, spec)
    return _resized(reduced.within(blocks), geometry, spec)


def _cropped(
    reduced: _Reduced, blocks: Field, radiograph: Radiograph, geometry: Geometry
) -> _Reduced:
    """Return the reduction of the part that a grid shows.

    The part is larger on the grid and may need smaller blocks. If it does not, those of the whole
    image that lie in it are its own: it begins where one of them does.

    Args:
        reduced: the whole image.
        blocks: the part, in blocks.
        radiograph: the image.
        geometry: placement of the part.
    """
    if reduced.step != _steps(geometry):
        return _reduce(radiograph, geometry)
    brightness = np.ascontiguousarray(reduced.brightness[blocks.window])
    shown = None if reduced.shown is None else np.ascontiguousarray(reduced.shown[blocks.window])
    return _Reduced(brightness, shown, geometry.part, reduced.step)


def _place(radiograph: Radiograph, spec: PreprocessSpec, field: Field | None) -> Geometry:
    return place(
        spec,
        radiograph.rows,
        radiograph.columns,
        radiograph.pixel_sides,
        radiograph.orientation,
        field,
    )


def _reduce(radiograph: Radiograph, geometry: Geometry) -> _Reduced:
    """Reduce the part of an image that a grid shows."""
    orientation, part = radiograph.orientation, geometry.part
    step = _steps(geometry)
    # From here to the turn, in the order of the stored image.
    top, left, bottom, right = _stored_window(geometry)
    samples: NDArray[np.unsignedinteger] = radiograph.samples[top:bottom, left:right]
    if samples.strides[1] != samples.itemsize:
        samples = np.ascontiguousarray(samples)
    row_step, column_step = orientation.stored_shape(*step)
    flips = orientation.stored_shape(orientation.rows_flipped, orientation.columns_flipped)
    rows = Blocks(bottom - top, row_step, bool(flips[0]))
    columns = Blocks(right - left, column_step, bool(flips[1]))
    brightness, shown = _look_up(samples, radiograph.table, rows, columns)
    if radiograph.shutter is not None:
        # A block is visible if its four corners are, so that none has a hidden part in its mean.
        corners = radiograph.shutter.shows(left + _edges(columns), top + _edges(rows))
        visible = corners[:-1, :-1] & corners[1:, :-1] & corners[:-1, 1:] & corners[1:, 1:]
        both = visible if shown is None else visible & shown
        shown = both if both.any() else shown  # a shutter may leave padding only
    turned = None if shown is None else np.ascontiguousarray(orientation.turn(shown))
    return _Reduced(np.ascontiguousarray(orientation.turn(brightness)), turned, part, step)


def _steps(geometry: Geometry) -> tuple[int, int]:
    """Return rows and columns of the blocks of the part that a grid shows, upright."""
    part = geometry.part
    return _step(part.rows, geometry.height), _step(part.columns, geometry.width)


def _step(length: int, cells: int) -> int:
    """Return the side of a block: the largest even number that the oversampling allows, or 1.

    An even number of samples of 16 bits is summed twice as fast.
    """
    most = min(int(length / (cells * _OVERSAMPLING)), _MAX_BLOCK)
    return max(most // 2 * 2, 1)


def _stored_window(geometry: Geometry) -> tuple[int, int, int, int]:
    """Return top, left, bottom and right of the part that the grid shows, in stored pixels."""
    part = geometry.part
    upright = (part.left, part.top, part.left + part.columns, part.top + part.rows)
    x0, y0, x1, y1 = geometry.orientation.box_back(upright, geometry.rows, geometry.columns)
    return int(y0), int(x0), int(y1), int(x1)


def _edges(blocks: Blocks) -> NDArray[np.float64]:
    """Return the edges of the N blocks, N + 1, measured from the first sample's outer edge."""
    return np.concatenate(([0.0], np.cumsum(blocks.sizes, dtype=np.float64)))


def _look_up(
    samples: NDArray[np.unsignedinteger], table: DisplayTable, rows: Blocks, columns: Blocks
) -> tuple[Floats, Mask | None]:
    """Return the brightness of the mean of each block, and which blocks are shown.

    A block is shown if at least half of its samples are no padding; its mean is theirs.
    """
    padded = table is not IDENTITY and table.padding.any()
    if not padded and rows.step == columns.step == 1:
        return _brightness_of_samples(table, samples), None
    highest = table.brightness.size - 1
    sizes = rows.sizes[:, None] * columns.sizes
    if not padded:
        sums = block_sums(samples, rows, columns, highest)
        return _brightness_of_means(table.brightness, sums, sizes), None
    valid = _outside(samples, table.padding)
    counts = block_sums(valid.view(np.uint8), rows, columns, 1)
    sums = block_sums(samples * valid, rows, columns, highest)
    some = np.maximum(counts, 1).astype(np.float32)
    shown = counts >= sizes / 2
    return _brightness_of_means(table.brightness, sums, some), shown if shown.any() else counts > 0


def _outside(samples: NDArray[np.unsignedinteger], padding: Mask) -> Mask:
    """Return which samples are no padding.

    Padding is usually one range of samples, which is found by comparisons.
    """
    flagged = np.flatnonzero(padding)
    low, high = int(flagged[0]), int(flagged[-1])
    if high - low + 1 != flagged.size:
        return np.asarray(~padding[samples], dtype=np.bool_)
    outside = samples > high if low == 0 else (samples < low) | (samples > high)
    return np.asarray(outside, dtype=np.bool_)


def _brightness_of_samples(table: DisplayTable, samples: NDArray[np.unsignedinteger]) -> Floats:
    """Look up every sample, h x w; equal to `_brightness_of_means` of blocks of one sample."""
    if table is IDENTITY:
        return samples.astype(np.float32)
    entries = table.brightness.astype(np.float32)
    brightness = np.empty(samples.shape, dtype=np.float32)
    rows = max(1, _CHUNK_PX // samples.shape[1])
    for start in range(0, len(samples), rows):
        chunk = slice(start, start + rows)
        # No index can be out of range; `wrap` avoids the check.
        np.take(entries, samples[chunk], out=brightness[chunk], mode="wrap")
    return brightness


def _brightness_of_means(table: NDArray[np.uint16], sums: Sums, sizes: Floats) -> Floats:
    """Look up sum / size of every block, interpolating linearly between entries of the table.

    Args:
        table: N, the brightness of every sample.
        sums: h x w, sum of the samples of each block.
        sizes: h x w, number of these samples.
    """
    entries = table.astype(np.float32)
    slopes = np.append(np.diff(entries), np.float32(0))
    brightness = np.empty(sums.shape, dtype=np.float32)
    rows = max(1, _CHUNK_PX // sums.shape[1])
    for start in range(0, len(sums), rows):
        chunk = slice(start, start + rows)
        means = sums[chunk].astype(np.float32) / sizes[chunk]
        whole = np.trunc(means)
        index = whole.astype(np.intp)
        steps = np.take(slopes, index) * (means - whole)
        np.add(np.take(entries, index), steps, out=brightness[chunk])
    return brightness


def _bounds_of_shown(reduced: _Reduced) -> Field:
    """Return the smallest rectangle of blocks around all that are shown."""
    if reduced.shown is None:
        return Field(0, 0, *reduced.brightness.shape)
    rows = np.flatnonzero(reduced.shown.any(axis=1))
    columns = np.flatnonzero(reduced.shown.any(axis=0))
    return Field(
        int(rows[0]),
        int(columns[0]),
        int(rows[-1] - rows[0]) + 1,
        int(columns[-1] - columns[0]) + 1,
    )


def _resized(reduced: _Reduced, geometry: Geometry, spec: PreprocessSpec) -> ModelInput:
    """Resize a reduced image to its place on the grid, and stretch it."""
    # The last block may be partial, so that the part ends within a pixel of the reduced image.
    extent = reduced.part.rows / reduced.step[0], reduced.part.columns / reduced.step[1]
    if reduced.shown is None:
        return stretch(_resize(reduced.brightness, geometry, extent), geometry, spec)
    weights = reduced.shown.astype(np.float32)
    coverage = _resize(weights, geometry, extent)
    weighted = _resize(reduced.brightness * weights, geometry, extent)
    shown = coverage > 0.5
    if not shown.any():
        shown = coverage > 0
    small = (weighted / np.where(shown, coverage, 1)).astype(np.float32)
    return stretch(small, geometry, spec, shown)


def _resize(image: Floats, geometry: Geometry, extent: tuple[float, float]) -> Floats:
    """Resize the first rows and columns of an image, a fraction of the last included."""
    made = Image.fromarray(image).resize(
        (geometry.width, geometry.height),
        Image.Resampling.BILINEAR,
        box=(0, 0, extent[1], extent[0]),
    )
    return np.asarray(made, dtype=np.float32)
