"""Exact mapping between the square grid of the model and source pixels.

    source (rows x columns) --turn upright--> --scale--> (height x width) --pad--> (size x size)

Coordinates are continuous and measured from the outer corner of the top-left pixel, x to
the right and y down, so that pixel i covers [i, i + 1) in every grid. A box in these
coordinates is half-open and scales without any half-pixel correction.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radiograph.orientation import UPRIGHT, Orientation

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Geometry:
    """Placement of a source image in the square grid of the model.

    Attributes:
        rows, columns: size of the source, in source pixels.
        size: side of the square grid, in grid pixels.
        top, left: first row and column of the grid that the image covers.
        height, width: number of rows and columns of the grid that the image covers.
        orientation: the steps that turn the source upright before it is scaled.
    """

    rows: int
    columns: int
    size: int
    top: int
    left: int
    height: int
    width: int
    orientation: Orientation = UPRIGHT

    @classmethod
    def fit(
        cls, rows: int, columns: int, size: int, orientation: Orientation = UPRIGHT
    ) -> "Geometry":
        """Return the largest centred placement of rows x columns in size x size, turned upright.

        The aspect ratio is kept up to rounding to whole grid pixels.
        """
        scale = size / max(rows, columns)
        upright_rows, upright_columns = orientation.upright_shape(rows, columns)
        height = max(1, round(upright_rows * scale))
        width = max(1, round(upright_columns * scale))
        top, left = (size - height) // 2, (size - width) // 2
        return cls(rows, columns, size, top, left, height, width, orientation)

    @property
    def upright(self) -> "Geometry":
        """The same placement for a source that was turned upright already."""
        rows, columns = self.orientation.upright_shape(self.rows, self.columns)
        return replace(self, rows=rows, columns=columns, orientation=UPRIGHT)

    @property
    def scale_x(self) -> float:
        """Number of grid pixels per source pixel, along the rows of the grid."""
        return self.width / self.orientation.upright_shape(self.rows, self.columns)[1]

    @property
    def scale_y(self) -> float:
        """Number of grid pixels per source pixel, along the columns of the grid."""
        return self.height / self.orientation.upright_shape(self.rows, self.columns)[0]

    def to_source(self, x: float, y: float) -> tuple[float, float]:
        """Convert grid coordinates to source coordinates, clipped to the image."""
        upright = self._to_upright(x, y)
        return self._clip(*self.orientation.point_back(*upright, self.rows, self.columns))

    def to_grid(self, x: float, y: float) -> tuple[float, float]:
        """Convert source coordinates to grid coordinates."""
        return self._from_upright(*self.orientation.point(x, y, self.rows, self.columns))

    def box_to_source(self, box: Box) -> Box:
        """Convert (x0, y0, x1, y1) on the grid to source pixels, clipped to the image."""
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
            rows x columns, float32, in the range of the input.
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
        rows, columns = self.orientation.upright_shape(self.rows, self.columns)
        resized = image.resize((columns, rows), Image.Resampling.BILINEAR, box=box)
        upright = np.asarray(resized, dtype=np.float32)
        return np.ascontiguousarray(self.orientation.turn_back(upright))

    def _to_upright(self, x: float, y: float) -> tuple[float, float]:
        return (x - self.left) / self.scale_x, (y - self.top) / self.scale_y

    def _from_upright(self, x: float, y: float) -> tuple[float, float]:
        return x * self.scale_x + self.left, y * self.scale_y + self.top

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
