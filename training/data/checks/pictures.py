"""Changes of a radiograph before its preprocessing, which finds borders in the changed picture.

upright --mirror, turn, invert--> `Change`, which the checks have to recognise
        --round field, covered corners--> disturbances, which they must not rely on
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from radiograph.geometry.orientation import UPRIGHT, Orientation
from radiograph.image import DisplayTable, Radiograph, Samples
from radiograph.terminology.checks import Check

Pixels = NDArray[np.uint8]

_TURNS = {
    None: UPRIGHT,
    Check.UPSIDE_DOWN: Orientation(rows_flipped=True, columns_flipped=True),
    Check.TURNED_LEFT: Orientation(transposed=True, rows_flipped=True),
    Check.TURNED_RIGHT: Orientation(transposed=True, columns_flipped=True),
}
"""Movement of the pixels of an upright picture that the check recognises."""
_MIRROR = Orientation(columns_flipped=True)


@dataclass(frozen=True)
class Change:
    """A change of an upright picture: it is mirrored, then turned, and its gray inverted.

    Attributes:
        mirrored: left and right change places.
        turn: check that the turn belongs to, or None if the picture stays upright.
        inverted: black and white change places.
    """

    mirrored: bool = False
    turn: Check | None = None
    inverted: bool = False

    @property
    def truth(self) -> dict[Check, bool]:
        """Answers to the checks of mirrored, turned and inverted pictures."""
        turns = {check: check is self.turn for check in _TURNS if check is not None}
        return {Check.MIRRORED: self.mirrored, **turns, Check.INVERTED: self.inverted}

    def of(self, upright: Radiograph) -> Radiograph:
        """Return the changed picture of an upright one."""
        mirror = _MIRROR if self.mirrored else UPRIGHT
        turned = _TURNS[self.turn].turn(mirror.turn(upright.samples))
        samples: Samples = np.ascontiguousarray(turned)
        table = inverse(upright.table) if self.inverted else upright.table
        return replace(upright, samples=samples, table=table)


def draw_change(rng: Generator) -> Change:
    """Draw a change: every second picture is mirrored, every third turned, every fifth inverted."""
    turn = rng.choice(3) if rng.random() < 0.36 else None
    turns = (Check.UPSIDE_DOWN, Check.TURNED_LEFT, Check.TURNED_RIGHT)
    return Change(
        bool(rng.random() < 0.5), None if turn is None else turns[turn], bool(rng.random() < 0.2)
    )


def inverse(table: DisplayTable) -> DisplayTable:
    """Return a table that displays black as white; padding stays black."""
    return DisplayTable(np.uint16(65535) - table.brightness, table.padding)


def radiograph_of(pixels: Pixels) -> Radiograph:
    """Return a picture of 8 bits as a radiograph."""
    return Radiograph(pixels, DisplayTable.linear(256))


def upright_pixels(radiograph: Radiograph) -> Pixels:
    """Return the displayed picture, turned upright, rows x columns of 8 bits."""
    turned = radiograph.orientation.turn(radiograph.pixels)
    return np.ascontiguousarray((turned >> 8).astype(np.uint8))


def folded(pixels: Pixels, rng: Generator) -> Pixels:
    """Return a picture with the likeness of a lateral view, made from a frontal one.

    One half of the chest is laid over the mirror image of the other, so that the spine is at one
    edge, the side of the chest at the other, and ribs cross. Half of the pictures show one half of
    the chest alone.
    """
    rows, columns = pixels.shape
    middle = round(columns * rng.uniform(0.44, 0.56))
    width = min(middle, columns - middle)
    left = pixels[:, middle - width : middle].astype(np.float32)
    right = pixels[:, middle : middle + width][:, ::-1].astype(np.float32)
    weight = rng.choice((0.0, 0.5, 0.5, 1.0))
    half = (weight * left + (1 - weight) * right)[:, :: rng.choice((-1, 1))]
    size = (max(8, round(rows * rng.uniform(0.6, 1.0))), rows)
    made = Image.fromarray(half.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(made)


def disturb(pixels: Pixels, rng: Generator) -> Pixels:
    """Return a picture with what says nothing about it: covered corners, a round field."""
    image = pixels.copy()
    if rng.random() < 0.06:
        _vignette(image, rng)
    for _ in range(rng.choice((0, 0, 1, 2, 4))):
        _cover_corner(image, rng)
    return image


def _vignette(image: Pixels, rng: Generator) -> None:
    """Blacken or whiten what is outside of a circle."""
    rows, columns = image.shape
    y, x = np.ogrid[:rows, :columns]
    radius = rng.uniform(0.45, 0.6) * min(rows, columns)
    outside = (y - rows / 2) ** 2 + (x - columns / 2) ** 2 > radius**2
    image[outside] = rng.choice((0, 255))


def _cover_corner(image: Pixels, rng: Generator) -> None:
    """Cover a corner, where markers are, with one gray."""
    rows, columns = image.shape
    height, width = (max(1, int(side * rng.uniform(0.05, 0.25))) for side in (rows, columns))
    top, left = rng.choice((0, rows - height)), rng.choice((0, columns - width))
    gray = rng.choice((0, 255, int(np.median(image))))
    image[top : top + height, left : left + width] = gray


@cache
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def write(image: Pixels, text: str, rng: Generator) -> None:
    """Write a line of text anywhere, in white or black."""
    rows, columns = image.shape
    canvas = Image.fromarray(image)
    size = max(8, int(min(rows, columns) * rng.uniform(0.03, 0.1)))
    place = rng.uniform(0, 0.9) * columns, rng.uniform(0, 0.9) * rows
    ImageDraw.Draw(canvas).text(place, text, fill=int(rng.choice((0, 255))), font=_font(size))
    image[:] = np.asarray(canvas)
