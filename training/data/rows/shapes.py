"""Shapes that are drawn on a radiograph: their boxes, and masks of them.

    "0 x0 y0 x1 y1"            a rectangle, by two corners
    "1 x0 y0 x1 y1"            the ellipse in it
    "2 x0 y0 x1 y1 x2 y2 ..."  a polygon; several shapes are joined by ";"

Coordinates count from the outer corner of the first pixel, as in `radiograph.geometry`: a box is
half-open, and a rectangle from 2 to 5 covers the pixels 2, 3 and 4. Pillow draws. It fills the
ellipse in the same pixels, and of a polygon also those that its outline touches: it comes out up to
one pixel wider, to the right and at the bottom. What hangs over the edge of the image is cut off.

Source: the annotation format of Object-CXR, github.com/hlk-1135/object-CXR.
"""

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from radiograph.geometry import Box
from radiograph.limits import DEFAULT_LIMITS
from training.data.rows.dataset_files import AnnotationRefused

_LARGEST = 2.0**16
_MOST_SHAPES, _MOST_NUMBERS = 1000, 20_000


class MalformedShape(AnnotationRefused):
    """An annotation that is none of the three shapes, or not on its image."""


@dataclass(frozen=True)
class Shape:
    """One shape: its kind, "0", "1" or "2", and its numbers x0, y0, x1, y1, ..."""

    kind: str
    numbers: tuple[float, ...]

    @property
    def box(self) -> Box:
        """The half-open box around it."""
        xs, ys = self.numbers[0::2], self.numbers[1::2]
        return min(xs), min(ys), max(xs), max(ys)


def parse(annotation: str) -> tuple[Shape, ...]:
    """The shapes of one image; none for an empty annotation.

    Raises:
        MalformedShape: an unknown kind, too few or an odd number of coordinates, one that is no
            number or lies far outside of any image, no area, or more than any image has.
    """
    parts = [part for part in annotation.split(";") if part.strip()]
    if len(parts) > _MOST_SHAPES:
        raise MalformedShape("too many shapes")
    return tuple(_shape(part) for part in parts)


def _shape(text: str) -> Shape:
    kind, *words = text.split(maxsplit=_MOST_NUMBERS)
    if kind not in ("0", "1", "2") or len(words) >= _MOST_NUMBERS:
        raise MalformedShape("malformed shape")
    try:
        numbers = tuple(float(word) for word in words)
    except ValueError:
        raise MalformedShape("malformed shape") from None
    count = len(numbers)
    if not (count == 4 if kind != "2" else count >= 6 and count % 2 == 0):
        raise MalformedShape("malformed shape")
    if not all(math.isfinite(number) and abs(number) <= _LARGEST for number in numbers):
        raise MalformedShape("malformed shape")
    shape = Shape(kind, numbers)
    x0, y0, x1, y1 = shape.box
    if x1 <= x0 or y1 <= y0:
        raise MalformedShape("shape without an area")
    return shape


def draw(shapes: Iterable[Shape], rows: int, columns: int) -> NDArray[np.bool_]:
    """A mask of all shapes together, rows x columns.

    Raises:
        InputTooLarge: more pixels than a radiograph may have.
        MalformedShape: a shape lies outside of the image.
    """
    DEFAULT_LIMITS.check_pixels(rows, columns)
    image = Image.new("L", (columns, rows))
    pen = ImageDraw.Draw(image)
    for shape in shapes:
        x0, y0, x1, y1 = shape.box
        if x1 <= 0 or y1 <= 0 or x0 >= columns or y0 >= rows:
            raise MalformedShape("annotation outside of the image")
        corners = (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1))
        if shape.kind == "0":
            pen.rectangle(corners, fill=255)
        elif shape.kind == "1":
            pen.ellipse(corners, fill=255)
        else:
            pen.polygon(list(zip(shape.numbers[0::2], shape.numbers[1::2], strict=True)), fill=255)
    return np.asarray(image) > 0


def png(mask: NDArray[np.bool_]) -> bytes:
    """A mask as the PNG that `masks.read_mask` reads: 255 inside, 0 outside."""
    buffer = io.BytesIO()
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
