"""Orientation: how stored pixels are turned so that the patient stands upright.

    stored pixels --transpose--> --flip rows--> --flip columns--> upright pixels
    results in upright pixels   --the same steps undone, in reverse--> results in stored pixels

Upright is the display convention of a frontal chest radiograph: columns run towards the patient's
left (L) and rows towards the feet (F). Every orientation of a rectangle is one of the eight
combinations of the three steps. They move whole pixels, so that turning there and back is exact.

Source: PS3.3 section C.7.6.1.1.1, Patient Orientation (0020,0020).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)
Extent = TypeVar("Extent", int, float)

Box = tuple[float, float, float, float]

_DIRECTION = re.compile(
    r"(?!.*(L.*R|R.*L|A.*P|P.*A|H.*F|F.*H))[LRAPHF]{1,3}"  # no two opposite letters
    r"|LE(FT)?|RT|RIGHT|HEAD|FOOT|FEET|ANTERIOR|POSTERIOR"
)

_NAMES = {
    (False, False, False): "none",
    (False, False, True): "mirrored",
    (False, True, True): "rotated_180",
    (False, True, False): "flipped",
    (True, False, False): "transposed",
    (True, False, True): "rotated_90",
    (True, True, True): "transversed",
    (True, True, False): "rotated_270",
}


@dataclass(frozen=True)
class Orientation:
    """The steps that turn stored pixels upright, in this order.

    Attributes:
        transposed: rows and columns change places.
        rows_flipped: the order of the rows is reversed (top and bottom change places).
        columns_flipped: the order of the columns is reversed (left and right change places).
    """

    transposed: bool = False
    rows_flipped: bool = False
    columns_flipped: bool = False

    @classmethod
    def from_directions(cls, directions: Sequence[str]) -> "Orientation | None":
        """Return the orientation that Patient Orientation describes.

        Args:
            directions: direction of the rows and of the columns, such as `["L", "F"]`; of an
                oblique direction such as `LF` the first letter, the dominant one, counts. Words
                such as `LEFT` count as their letter.

        Returns:
            None where the two directions are no frontal image: one is missing, contradicts itself
            (`LR`) or runs front to back, or both run along the same axis of the body.
        """
        if len(directions) != 2 or not all(map(_DIRECTION.fullmatch, directions)):
            return None
        row, column = (direction[0] for direction in directions)
        transposed = row in "HF"
        across, down = (column, row) if transposed else (row, column)
        if across not in "LR" or down not in "HF":
            return None
        return cls(transposed, rows_flipped=down == "H", columns_flipped=across == "R")

    @property
    def name(self) -> str:
        """Name of the whole movement; rotations are clockwise."""
        return _NAMES[self.transposed, self.rows_flipped, self.columns_flipped]

    @property
    def is_upright(self) -> bool:
        """True if the stored pixels are upright already."""
        return self == UPRIGHT

    def upright_shape(self, rows: Extent, columns: Extent) -> tuple[Extent, Extent]:
        """Return rows and columns of the upright image of a stored one."""
        return (columns, rows) if self.transposed else (rows, columns)

    def stored_shape(self, rows: Extent, columns: Extent) -> tuple[Extent, Extent]:
        """Return rows and columns of the stored image of an upright one."""
        return self.upright_shape(rows, columns)  # a transposition undoes itself

    def turn(self, stored: NDArray[Scalar]) -> NDArray[Scalar]:
        """Turn stored pixels upright.

        Args:
            stored: ... x rows x columns, any type.

        Returns:
            A view of the same type, the last two axes turned.
        """
        turned = stored.swapaxes(-1, -2) if self.transposed else stored
        return self._flip(turned)

    def turn_back(self, upright: NDArray[Scalar]) -> NDArray[Scalar]:
        """Turn upright pixels back to how they are stored; undoes `turn`."""
        turned = self._flip(upright)
        return turned.swapaxes(-1, -2) if self.transposed else turned

    def point_back(self, x: float, y: float, rows: int, columns: int) -> tuple[float, float]:
        """Return where a point of the upright image lies in the stored one.

        Args:
            x, y: upright pixels, measured from the outer corner of the top-left pixel.
            rows, columns: size of the stored image in pixels.
        """
        height, width = self.upright_shape(rows, columns)
        x = width - x if self.columns_flipped else x
        y = height - y if self.rows_flipped else y
        return (y, x) if self.transposed else (x, y)

    def point(self, x: float, y: float, rows: int, columns: int) -> tuple[float, float]:
        """Return where a point of the stored image lies in the upright one; undoes `point_back`."""
        height, width = self.upright_shape(rows, columns)
        x, y = (y, x) if self.transposed else (x, y)
        return width - x if self.columns_flipped else x, height - y if self.rows_flipped else y

    def box_back(self, box: Box, rows: int, columns: int) -> Box:
        """Return an upright box (x0, y0, x1, y1) in stored pixels, of the same sides."""
        height, width = self.upright_shape(rows, columns)
        x0, y0, x1, y1 = self._flip_box(box, height, width)
        return (y0, x0, y1, x1) if self.transposed else (x0, y0, x1, y1)

    def box(self, box: Box, rows: int, columns: int) -> Box:
        """Return a stored box (x0, y0, x1, y1) in upright pixels; undoes `box_back`."""
        x0, y0, x1, y1 = box
        turned = (y0, x0, y1, x1) if self.transposed else box
        return self._flip_box(turned, *self.upright_shape(rows, columns))

    def _flip_box(self, box: Box, height: float, width: float) -> Box:
        x0, y0, x1, y1 = box
        if self.columns_flipped:
            x0, x1 = width - x1, width - x0
        if self.rows_flipped:
            y0, y1 = height - y1, height - y0
        return x0, y0, x1, y1

    def _flip(self, image: NDArray[Scalar]) -> NDArray[Scalar]:
        rows = slice(None, None, -1 if self.rows_flipped else 1)
        columns = slice(None, None, -1 if self.columns_flipped else 1)
        return image[..., rows, columns]


UPRIGHT = Orientation()
"""Nothing is turned."""
