"""Exact mapping between the square grid of the model and source pixels.

    source (rows x columns) --turn upright--> --crop to the field--> --scale--> (height x width)
                            --pad--> (size x size)

Coordinates are continuous and measured from the outer corner of the top-left pixel, x to
the right and y down, so that pixel i covers [i, i + 1) in every grid. A box in these
coordinates is half-open and scales without any half-pixel correction.
"""

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radiograph.geometry.orientation import UPRIGHT, Orientation

Box = tuple[float, float, float, float]
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Field:
    """Rectangle of whole pixels of an upright image.

    Attributes:
        top, left: first row and column.
        rows, columns: size, at least 1 x 1.
    """

    top: int
    left: int
    rows: int
    columns: int

    @property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns of the rectangle."""
        return slice(self.top, self.top + self.rows), slice(self.left, self.left + self.columns)

    def lies_in(self, rows: int, columns: int) -> bool:
        """Return whether this is a rectangle of at least one pixel in an image of that size."""
        inside = min(self.top, self.left) >= 0 < min(self.rows, self.columns)
        return inside and self.top + self.rows <= rows and self.left + self.columns <= columns


@dataclass(frozen=True)
class Geometry:
    """Placement of a source image in the square grid of the model.

    Attributes:
        rows, columns: size of the source, in source pixels.
        size: side of the square grid, in grid pixels.
        top, left: first row and column of the grid that the image covers.
        height, width: number of rows and columns of the grid that the image covers.
        orientation: the steps that turn the source upright before it is scaled.
        field: the part of the upright source that is placed in the grid, or None for all of it.
            `top`, `left`, `height` and `width` are then those of the part.
    """

    rows: int
    columns: int
    size: int
    top: int
    left: int
    height: int
    width: int
    orientation: Orientation = UPRIGHT
    field: Field | None = None

    @classmethod
    def fit(
        cls,
        rows: int,
        columns: int,
        size: int,
        orientation: Orientation = UPRIGHT,
        aspect: float = 1.0,
        field: Field | None = None,
    ) -> "Geometry":
        """Return the largest centred placement of rows x columns in size x size, turned upright.

        The aspect ratio is kept up to rounding to whole grid pixels.

        Args:
            rows, columns: size of the source.
            size: side of the square grid.
            orientation: the steps that turn the source upright.
            aspect: height of a source pixel as it is stored, divided by its width.
            field: the part of the upright source that is placed, or None for all of it.
        """
        part = field or Field(0, 0, *orientation.upright_shape(rows, columns))
        upright_height, upright_width = orientation.upright_shape(aspect, 1.0)  # of one pixel
        tall, wide = part.rows * upright_height, part.columns * upright_width
        scale = size / max(tall, wide)
        height, width = max(1, round(tall * scale)), max(1, round(wide * scale))
        top, left = (size - height) // 2, (size - width) // 2
        return cls(rows, columns, size, top, left, height, width, orientation, field)

    @property
    def upright(self) -> "Geometry":
        """The same placement for a source that was turned upright already."""
        rows, columns = self.orientation.upright_shape(self.rows, self.columns)
        return replace(self, rows=rows, columns=columns, orientation=UPRIGHT)

    @property
    def part(self) -> Field:
        """The part of the upright source that the grid shows."""
        shape = self.orientation.upright_shape(self.rows, self.columns)
        return self.field or Field(0, 0, *shape)

    @property
    def of_part(self) -> "Geometry":
        """The same placement for a source that was turned upright and cropped already."""
        part = self.part
        shape = {"rows": part.rows, "columns": part.columns}
        return replace(self, **shape, orientation=UPRIGHT, field=None)

    @property
    def scale_x(self) -> float:
        """Number of grid pixels per source pixel, along the rows of the grid."""
        return self.width / self.part.columns

    @property
    def scale_y(self) -> float:
        """Number of grid pixels per source pixel, along the columns of the grid."""
        return self.height / self.part.rows

    def to_source(self, x: float, y: float) -> tuple[float, float]:
        """Convert grid coordinates to source coordinates, clipped to the part that is shown."""
        upright = self._to_upright(x, y)
        return self._clip(*self.orientation.point_back(*upright, self.rows, self.columns))

    def to_grid(self, x: float, y: float) -> tuple[float, float]:
        """Convert source coordinates to grid coordinates."""
        return self._from_upright(*self.orientation.point(x, y, self.rows, self.columns))

    def box_to_source(self, box: Box) -> Box:
        """Convert (x0, y0, x1, y1) on the grid to source pixels, clipped like `to_source`."""
        corners = (*self._to_upright(box[0], box[1]), *self._to_upright(box[2], box[3]))
        x0, y0, x1, y1 = self.orientation.box_back(corners, self.rows, self.columns)
        return (*self._clip(x0, y0), *self._clip(x1, y1))

    def box_to_grid(self, box: Box) -> Box:
        """Convert (x0, y0, x1, y1) in source pixels to the grid."""
        x0, y0, x1, y1 = self.orientation.box(box, self.rows, self.columns)
        return (*self._from_upright(x0, y0), *self._from_upright(x1, y1))

    def cells(self, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of a map over the whole square that the image covers.

        Args:
            height: number of rows of the map.
            width: number of columns of the map.

        Returns:
            The range of rows and the range of columns whose centres lie inside the image. If a
            thin image covers no centre, the row or column that contains its middle.
        """
        return (
            _covered(self.top, self.height, height / self.size),
            _covered(self.left, self.width, width / self.size),
        )

    def crop(self, grid: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the part of a map over the whole square that the image covers.

        Args:
            grid: h x w, float32, over the whole square at any resolution h x w.

        Returns:
            A view of the cells whose centres lie inside the image, at least 1 x 1.
        """
        return grid[self.cells(*grid.shape)]

    def map_to_source(self, grid: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resample a map over the whole square bilinearly onto every source pixel.

        Args:
            grid: h x w, float32, over the whole square at any resolution h x w.

        Returns:
            rows x columns, float32, in the range of the input; 0 where the grid does not show it.
        """
        # The part of the map that the image covers, in cells; Pillow accepts fractions.
        per_x, per_y = grid.shape[1] / self.size, grid.shape[0] / self.size
        box = (
            self.left * per_x,
            self.top * per_y,
            (self.left + self.width) * per_x,
            (self.top + self.height) * per_y,
        )
        image = Image.fromarray(np.ascontiguousarray(grid, dtype=np.float32))
        part = self.part
        resized = image.resize((part.columns, part.rows), Image.Resampling.BILINEAR, box=box)
        upright = self.uncropped(np.asarray(resized, dtype=np.float32), 0)
        return np.ascontiguousarray(self.orientation.turn_back(upright))

    def uncropped(self, part: NDArray[Scalar], outside: Scalar | int | bool) -> NDArray[Scalar]:
        """Return upright pixels of the whole source for those of the part that the grid shows.

        Args:
            part: the pixels of `self.part`, of any type.
            outside: the value of all others.
        """
        if self.field is None:
            return part
        shape = self.orientation.upright_shape(self.rows, self.columns)
        whole = np.full(shape, outside, dtype=part.dtype)
        whole[self.field.window] = part
        return whole

    def over_source(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a map of the part that the grid shows as a map of the whole source.

        Args:
            cells: h x w, float32, upright.

        Returns:
            The map as the source is stored, with cells of about the same size. If the grid does
            not show all of the source, it is resampled, and 0 outside of the part.
        """
        if self.field is not None:
            cells = self._over_upright(cells, self.field)
        return np.ascontiguousarray(self.orientation.turn_back(cells))

    def _over_upright(self, cells: NDArray[np.float32], part: Field) -> NDArray[np.float32]:
        rows, columns = self.orientation.upright_shape(self.rows, self.columns)
        per_y, per_x = cells.shape[0] / part.rows, cells.shape[1] / part.columns
        height, width = max(1, round(rows * per_y)), max(1, round(columns * per_x))
        # Centres of the new cells, measured in the given ones.
        y = ((np.arange(height) + 0.5) * rows / height - part.top) * per_y
        x = ((np.arange(width) + 0.5) * columns / width - part.left) * per_x
        inside = ((y >= 0) & (y < cells.shape[0]))[:, None] & ((x >= 0) & (x < cells.shape[1]))
        return np.where(inside, _interpolate(_interpolate(cells, y).T, x).T, np.float32(0))

    def _to_upright(self, x: float, y: float) -> tuple[float, float]:
        x, y = (x - self.left) / self.scale_x, (y - self.top) / self.scale_y
        part = self.field
        if part is None:
            return x, y
        # The grid shows nothing beyond the part, so nothing can be found there.
        return (
            min(max(x, 0.0), part.columns) + part.left,
            min(max(y, 0.0), part.rows) + part.top,
        )

    def _from_upright(self, x: float, y: float) -> tuple[float, float]:
        part = self.part
        return (
            (x - part.left) * self.scale_x + self.left,
            (y - part.top) * self.scale_y + self.top,
        )

    def _clip(self, x: float, y: float) -> tuple[float, float]:
        """Move a point outside of the source onto its edge."""
        return min(max(x, 0.0), self.columns), min(max(y, 0.0), self.rows)


def _covered(start: int, length: int, per_pixel: float) -> slice:
    """Return the cells with centres in [start, start + length), or the cell at its middle.

    Args:
        start, length: an interval in grid pixels.
        per_pixel: cells per grid pixel.
    """
    first = int(np.ceil(start * per_pixel - 0.5))
    last = int(np.ceil((start + length) * per_pixel - 0.5))
    if last > first:
        return slice(first, last)
    middle = int((start + length / 2) * per_pixel)
    return slice(middle, middle + 1)


def _interpolate(cells: NDArray[np.float32], at: NDArray[np.float64]) -> NDArray[np.float32]:
    """Interpolate between the rows of a map, linearly and constant beyond its outermost centres.

    Args:
        cells: h x w.
        at: N positions, measured from the outer edge of the first row.

    Returns:
        N x w, float32.
    """
    centred = np.clip(at - 0.5, 0, len(cells) - 1)
    low = centred.astype(np.intp)
    high = np.minimum(low + 1, len(cells) - 1)
    weight = (centred - low)[:, None]
    return (cells[low] * (1 - weight) + cells[high] * weight).astype(np.float32)
