"""Shapes annotated on a radiograph, with their boxes and masks.

    "0 x0 y0 x1 y1"            a rectangle, by two corners
    "1 x0 y0 x1 y1"            the ellipse inscribed in a rectangle
    "2 x0 y0 x1 y1 x2 y2 ..."  a polygon; several shapes are joined by ";"

Coordinates count from the outer corner of the first pixel, as in `radiograph.geometry`: a box is
half-open, and a rectangle from 2 to 5 covers the pixels 2, 3 and 4. Masks are drawn by Pillow,
which also fills the pixels that the outline of a polygon touches: a polygon comes out up to one
pixel wider, to the right and at the bottom. Shapes are clipped at the edge of the image.

Source: the annotation format of Object-CXR, github.com/hlk-1135/object-CXR.
"""

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from radiograph.geometry.geometry import Box
from radiograph.limits import DEFAULT_LIMITS
from training.data.rows.dataset_files import AnnotationRefused

_LARGEST = 2.0**16
_MOST_SHAPES, _MOST_NUMBERS = 1000, 20_000


class MalformedShape(AnnotationRefused):
    """An annotation is none of the three shapes, or lies outside its image."""


@dataclass(frozen=True)
class Shape:
    """One shape: its kind, "0", "1" or "2", and its coordinates x0, y0, x1, y1, ..."""

    kind: str
    numbers: tuple[float, ...]

    @property
    def box(self) -> Box:
        """Half-open box around the shape."""
        xs, ys = self.numbers[0::2], self.numbers[1::2]
        return min(xs), min(ys), max(xs), max(ys)


def parse(annotation: str) -> tuple[Shape, ...]:
    """Parse the shapes of one image; an empty annotation has none.

    Raises:
        MalformedShape: the kind is unknown, the number of coordinates is wrong, a coordinate is
            not a number or far outside any image, a shape has no area, or there are too many.
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
    """Draw the union of all shapes as a mask, rows x columns.

    Raises:
        InputTooLarge: the image has more pixels than a radiograph may have.
        MalformedShape: a shape lies outside the image.
    """
    DEFAULT_LIMITS.check_pixels(rows, columns)
    image = Image.new("L", (columns, rows))
    pen = ImageDraw.Draw(image)
    for shape in shapes:
        x0, y0, x1, y1 = shape.box
        if x1 <= 0 or y1 <= 0 or x0 >= columns or y0 >= rows:
            raise MalformedShape("annotation outside of the image")
        # Pillow includes the last corner, a half-open box does not.
        corners = (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1))
        if shape.kind == "0":
            pen.rectangle(corners, fill=255)
        elif shape.kind == "1":
            pen.ellipse(corners, fill=255)
        else:
            pen.polygon(list(zip(shape.numbers[0::2], shape.numbers[1::2], strict=True)), fill=255)
    return np.asarray(image) > 0


def png(mask: NDArray[np.bool_]) -> bytes:
    """Encode a mask as a PNG for `masks.read_mask`: 255 inside, 0 outside."""
    buffer = io.BytesIO()
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def check_box(box: Box, rows: int, columns: int) -> None:
    """Check that a box lies in its image, at least in part, and is in pixels.

    Args:
        box: left, top, right, bottom in stored pixels.
        rows, columns: size of the image as it is stored.

    Raises:
        AnnotationRefused: it does not, or is as large as a single pixel in the upper left corner,
            as fractions of the sides are.
    """
    x0, y0, x1, y1 = box
    if x0 >= columns or y0 >= rows or x1 <= 0 or y1 <= 0:
        raise AnnotationRefused("a box lies outside its image")
    if max(x1, y1) <= 1:
        raise AnnotationRefused("a box is given in fractions; boxes are in stored pixels")
