"""Exact mapping between the square grid of the model and source pixels.

    source (rows x columns) --scale--> (height x width) --pad--> grid (size x size)

Coordinates are continuous and measured from the outer corner of the top-left pixel, x to
the right and y down, so that pixel i covers [i, i + 1) in every grid. A box in these
coordinates is half-open and scales without any half-pixel correction.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Geometry:
    """Placement of a source image in the square grid of the model.

    Attributes:
        rows, columns: size of the source, in source pixels.
        size: side of the square grid, in grid pixels.
        top, left: first row and column of the grid that the image covers.
        height, width: number of rows and columns of the grid that the image covers.
    """

    rows: int
    columns: int
    size: int
    top: int
    left: int
    height: int
    width: int

    @classmethod
    def fit(cls, rows: int, columns: int, size: int) -> "Geometry":
        """Return the largest centred placement of rows x columns in size x size.

        The aspect ratio is kept up to rounding to whole grid pixels.
        """
        scale = size / max(rows, columns)
        height = max(1, round(rows * scale))
        width = max(1, round(columns * scale))
        return cls(rows, columns, size, (size - height) // 2, (size - width) // 2, height, width)

    @property
    def scale_x(self) -> float:
        """Number of grid pixels per source pixel, horizontally."""
        return self.width / self.columns

    @property
    def scale_y(self) -> float:
        """Number of grid pixels per source pixel, vertically."""
        return self.height / self.rows

    def to_source(self, x: float, y: float) -> tuple[float, float]:
        """Convert grid coordinates to source coordinates, clipped to the image."""
        source_x = (x - self.left) / self.scale_x
        source_y = (y - self.top) / self.scale_y
        return min(max(source_x, 0.0), self.columns), min(max(source_y, 0.0), self.rows)

    def to_grid(self, x: float, y: float) -> tuple[float, float]:
        """Convert source coordinates to grid coordinates."""
        return x * self.scale_x + self.left, y * self.scale_y + self.top

    def box_to_source(self, box: Box) -> Box:
        """Convert (x0, y0, x1, y1) on the grid to source pixels, clipped to the image."""
        return (*self.to_source(box[0], box[1]), *self.to_source(box[2], box[3]))

    def box_to_grid(self, box: Box) -> Box:
        """Convert (x0, y0, x1, y1) in source pixels to the grid."""
        return (*self.to_grid(box[0], box[1]), *self.to_grid(box[2], box[3]))

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
        resized = image.resize((self.columns, self.rows), Image.Resampling.BILINEAR, box=box)
        return np.asarray(resized, dtype=np.float32)


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
