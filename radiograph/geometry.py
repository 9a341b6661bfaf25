"""Geometry: exact mapping between the model's square grid and source pixels.

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
    """Where a source image lies in the square grid of the model.

    Attributes:
        rows, columns: size of the source in pixels.
        size: side of the square grid in pixels.
        top, left: first grid row and column that the image covers.
        height, width: grid rows and columns that the image covers.
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
        """The largest centred placement of rows x columns in size x size, aspect kept."""
        scale = size / max(rows, columns)
        height = max(1, round(rows * scale))
        width = max(1, round(columns * scale))
        return cls(rows, columns, size, (size - height) // 2, (size - width) // 2, height, width)

    @property
    def scale_x(self) -> float:
        """Grid pixels per source pixel, horizontally."""
        return self.width / self.columns

    @property
    def scale_y(self) -> float:
        """Grid pixels per source pixel, vertically."""
        return self.height / self.rows

    def to_source(self, x: float, y: float) -> tuple[float, float]:
        """Grid coordinates -> source coordinates, clipped to the image."""
        source_x = (x - self.left) / self.scale_x
        source_y = (y - self.top) / self.scale_y
        return min(max(source_x, 0.0), self.columns), min(max(source_y, 0.0), self.rows)

    def to_grid(self, x: float, y: float) -> tuple[float, float]:
        """Source coordinates -> grid coordinates."""
        return x * self.scale_x + self.left, y * self.scale_y + self.top

    def box_to_source(self, box: Box) -> Box:
        """(x0, y0, x1, y1) on the grid -> the same box in source pixels, clipped."""
        return (*self.to_source(box[0], box[1]), *self.to_source(box[2], box[3]))

    def box_to_grid(self, box: Box) -> Box:
        """(x0, y0, x1, y1) in source pixels -> the same box on the grid."""
        return (*self.to_grid(box[0], box[1]), *self.to_grid(box[2], box[3]))

    def cells(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of a map over the whole square that the image covers.

        Args:
            height: rows of cells in the map.
            width: columns of cells in the map.

        Returns:
            The cells whose centres lie inside the image; where a thin image has none, the one
            cell that its middle lies in.
        """
        return (
            _covered(self.top, self.height, height / self.size),
            _covered(self.left, self.width, width / self.size),
        )

    def crop(self, grid: NDArray[np.float32]) -> NDArray[np.float32]:
        """The part of a map over the whole square that the image covers.

        Args:
            grid: h x w, float32, over the whole square at any resolution h x w.

        Returns:
            A view of the cells whose centres lie inside the image, at least 1 x 1.
        """
        return grid[self.cells(*grid.shape)]

    def map_to_source(self, grid: NDArray[np.float32]) -> NDArray[np.float32]:
        """A map over the square, resampled bilinearly onto every source pixel.

        Args:
            grid: h x w, float32, over the whole square at any resolution h x w.

        Returns:
            rows x columns, float32, same range as the input.
        """
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
    """Cells whose centres lie in [start, start + length), or else the cell around its middle."""
    first = int(np.ceil(start * per_pixel - 0.5))
    last = int(np.ceil((start + length) * per_pixel - 0.5))
    if last > first:
        return slice(first, last)
    middle = int((start + length / 2) * per_pixel)
    return slice(middle, middle + 1)
