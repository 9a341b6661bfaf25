"""Overlay: an analysis result drawn over its radiograph, as a picture.

    preview -> canvas with the heat map -> mask fills and outlines -> boxes -> labels -> picture

The canvas has the size of the preview: that of the source, scaled down if its longest side is over
`overlay_side_px` of the settings. The heat map is that of the first phrase; every phrase has its
box and its peak. An overlay is an illustration; measure on the JSON.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from radiograph.geometry.geometry import Box
from radiograph.postprocess.grounding import Grounding
from radiograph.postprocess.heads import Finding, Mask
from service.decoding.decode import ImageFacts
from service.encoders import picture_formats
from service.encoders.parallel import map_bands
from service.encoders.picture_formats import PNG
from service.inference.results import AnalysisResult

Rgb = tuple[int, int, int]
T = TypeVar("T")

# Colours that colour-blind readers can tell apart.
# Source: Okabe and Ito, Color Universal Design (2008).
_COLOURS: tuple[Rgb, ...] = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (240, 228, 66),
    (204, 121, 167),
    (213, 94, 0),
    (0, 114, 178),
)
_HEAT: tuple[Rgb, ...] = ((0, 0, 40), (87, 15, 109), (187, 55, 84), (249, 142, 8), (252, 255, 164))
_BACKDROP: Rgb = (12, 14, 18)
_WHITE: Rgb = (255, 255, 255)
_WARNING: Rgb = (255, 120, 90)
_TINT = 60
"""Opacity of a mask within its outline, of 255."""
_BAND = 32
"""Rows that a heat map is blended in at a time, so that they stay in the cache."""
_PILLOW_BITS = 22
_PILLOW_ONE = 2**_PILLOW_BITS
"""Weight of a pixel that a resized pixel consists of alone, in Pillow's integers."""


def encode(result: AnalysisResult, media_type: str = PNG) -> bytes:
    """Draw the whole result over its preview of the radiograph.

    Args:
        result: a result with a preview.
        media_type: one of `picture_formats.available()`.

    Returns:
        An RGB picture of 8 bits, of the size of the preview.

    Raises:
        ValueError: the result has no preview.
    """
    return picture_formats.encode(draw(result), media_type)


def draw(result: AnalysisResult) -> Image.Image:
    """Return the overlay of a result as an image, mode RGB, of the size of the preview.

    Raises:
        ValueError: the result has no preview.
    """
    if result.preview is None:
        raise ValueError("an overlay needs a result with a preview")
    heatmap = result.groundings[0].heatmap if result.groundings else None
    canvas = _Canvas.of(result.preview, result.image, heatmap)
    for mask, colour in _coloured(result.masks):
        canvas.mask(mask, colour)
    for mask, colour in _coloured(result.masks):
        canvas.name_mask(mask, colour)
    for detection, colour in _coloured(result.detections, first=5):
        canvas.box(detection.box, f"{detection.name} {detection.score:.0%}", colour)
    for grounding, colour in _coloured(result.groundings, first=3):
        canvas.grounding(grounding, colour)
    canvas.findings(result.findings or ())
    if result.groundings:
        canvas.colour_bar(result.groundings[0])
    canvas.warnings([item.code.replace("_", " ") for item in result.warnings])
    return canvas.image


def _coloured(items: Iterable[T] | None, first: int = 0) -> list[tuple[T, Rgb]]:
    """Pair each item with a colour, starting at colour `first`."""
    return [(item, _COLOURS[i % len(_COLOURS)]) for i, item in enumerate(items or (), first)]


class _Canvas:
    """An image that is drawn on in source coordinates, whatever its own scale."""

    def __init__(self, image: Image.Image, rows: int, columns: int) -> None:
        self.image = image
        self._rows, self._columns = rows, columns
        self._draw = ImageDraw.Draw(image)
        scale_x, scale_y = image.width / columns, image.height / rows
        self._scale = (scale_x, scale_y, scale_x, scale_y)
        side = max(image.size)
        self._line = max(1, round(side / 600))
        self._font = ImageFont.load_default(max(10, round(side / 55)))
        self._pad = max(2, round(side / 250))

    @classmethod
    def of(
        cls,
        preview: NDArray[np.uint8],
        image: ImageFacts,
        heatmap: NDArray[np.float32] | None = None,
    ) -> "_Canvas":
        """Return a canvas that shows a preview in gray, with a heat map over it if there is one.

        Args:
            preview: h x w, uint8, 0 is black.
            image: facts of the radiograph.
            heatmap: any shape, 0 to 1, of the whole image, or None.
        """
        if heatmap is None:
            gray = Image.fromarray(preview)
            rgb = Image.merge("RGB", (gray, gray, gray))
        else:
            rgb = _with_heat(preview, heatmap)
        return cls(rgb, image.rows, image.columns)

    def mask(self, mask: Mask, colour: Rgb) -> None:
        """Tint a mask and draw its outline, reading pixels only within the box of the mask."""
        if mask.box is None:
            return
        margin = self._line + 1
        left, columns = _drawn_range(self._columns, self.image.width, mask.box[0::2], margin)
        top, rows = _drawn_range(self._rows, self.image.height, mask.box[1::2], margin)
        if not (rows.size and columns.size):
            return
        read = slice(columns[0], columns[-1] + 1)
        inside = mask.mask[:, read][rows].take(columns - columns[0], axis=1)
        outline = inside & ~_eroded(inside, margin)
        # A tint depends on the pixel alone, and is looked up in less time than it is blended in.
        box = (left, top, left + columns.size, top + rows.size)
        tinted = self.image.crop(box).point(_tints(colour))
        tinted.paste(colour, mask=Image.fromarray(outline))
        self.image.paste(tinted, box, Image.fromarray(inside))

    def name_mask(self, mask: Mask, colour: Rgb) -> None:
        """Write the name of a mask at its centre."""
        if mask.box is None:
            return
        x0, y0, x1, y1 = self._scaled(mask.box)
        width, height = self._size(mask.name)
        self._text((x0 + x1 - width) / 2, (y0 + y1 - height) / 2, mask.name, colour)

    def box(self, box: Box, label: str, colour: Rgb) -> None:
        """Draw a rectangle with its label above."""
        x0, y0, x1, y1 = self._scaled(box)
        width = self._line * 2
        self._draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), None, colour, width)
        self._text(x0, y0 - self._size(label)[1] - 2 * self._pad, label, colour)

    def grounding(self, grounding: Grounding, colour: Rgb) -> None:
        """Draw the boxes and the peak of a phrase, with its probability at the first box."""
        label = f"{_short(grounding.phrase)} {_probability(grounding):.0%}"
        for number, place in enumerate(grounding.boxes):
            self.box(place.box, f"{place.score:.0%}" if number else label, colour)
        if grounding.peak is not None:
            x, y = grounding.peak[0] * self._scale[0], grounding.peak[1] * self._scale[1]
            radius = 6 * self._line
            circle = (x - radius, y - radius, x + radius, y + radius)
            self._draw.ellipse(circle, None, colour, self._line * 2)

    def findings(self, findings: Sequence[Finding]) -> None:
        """List the findings in the top left corner, most probable first, positive ones marked."""
        y = float(self._pad)
        for item in sorted(findings, key=lambda item: -item.probability):
            sign = "+" if item.positive else "-"
            colour = _WARNING if item.positive else _WHITE
            y = self._text(self._pad, y, f"{sign} {item.name} {item.probability:.0%}", colour)

    def colour_bar(self, grounding: Grounding) -> None:
        """Draw the scale of the heat map at the bottom, with the phrase that it belongs to."""
        width, height = self.image.size
        label = _short(grounding.phrase)
        if grounding.presence is not None and not grounding.presence.found:
            label += ": not found"
        bar = max(4, height // 60)
        ramp = Image.linear_gradient("L").rotate(90).resize((max(32, width // 4), bar))
        ramp.putpalette(_heat_palette())
        x, y = self._pad * 2, height - bar - self._pad * 2
        self.image.paste(ramp.convert("RGB"), (x, y))
        self._draw.rectangle((x, y, x + ramp.width - 1, y + bar - 1), None, _WHITE)
        text_y = y - self._size(label)[1] - 3 * self._pad
        self._text(x, text_y, f"{label}  (0 to 1)", _WHITE)

    def warnings(self, codes: Sequence[str]) -> None:
        """List the warnings in the top right corner."""
        y = float(self._pad)
        for code in codes:
            x = self.image.width - self._size(code)[0] - 3 * self._pad
            y = self._text(x, y, code, _WARNING)

    def _text(self, x: float, y: float, text: str, colour: Rgb) -> float:
        """Write text on a dark backdrop, moved inside the image; return the y below it."""
        width, height = self._size(text)
        x = min(max(x, 0.0), max(0.0, self.image.width - width - 2 * self._pad))
        y = min(max(y, 0.0), max(0.0, self.image.height - height - 2 * self._pad))
        bottom = y + height + 2 * self._pad
        self._draw.rectangle((x, y, x + width + 2 * self._pad, bottom), _BACKDROP)
        self._draw.text((x + self._pad, y + self._pad), text, colour, self._font, anchor="lt")
        return bottom

    def _size(self, text: str) -> tuple[float, float]:
        left, _, right, _ = self._font.getbbox(text, anchor="lt")
        _, top, _, bottom = self._font.getbbox("Ag", anchor="lt")
        return right - left, bottom - top

    def _scaled(self, box: Box) -> Box:
        x0, y0, x1, y1 = (value * scale for value, scale in zip(box, self._scale, strict=True))
        return x0, y0, x1, y1


def _probability(grounding: Grounding) -> float:
    """Return the calibrated probability of a phrase, or its similarity without one."""
    return grounding.similarity if grounding.presence is None else grounding.presence.probability


def _short(phrase: str, longest: int = 60) -> str:
    return phrase if len(phrase) <= longest else f"{phrase[: longest - 3]}..."


def _drawn_range(
    source: int, drawn: int, edges: Sequence[float], margin: int
) -> tuple[int, NDArray[np.int32]]:
    """Return the part of one axis on which a range of source pixels is drawn, with a margin.

    Args:
        source: source pixels along the axis.
        drawn: pixels of the canvas along the axis.
        edges: the first source pixel of the range, and the one after the last.
        margin: pixels of the canvas to add on both sides, as far as there are any.

    Returns:
        The first pixel of the canvas, and the source pixel shown by each pixel from there on.
        Pillow chooses the source pixels, so that they match an image that it scales down.
    """
    every = Image.fromarray(np.arange(source, dtype=np.int32)[None])
    chosen = np.asarray(every.resize((drawn, 1), Image.Resampling.NEAREST), dtype=np.int32)[0]
    first, last = np.searchsorted(chosen, edges).tolist()
    first = max(0, first - margin)
    return first, chosen[first : last + margin]


@functools.cache
def _tints(colour: Rgb) -> list[int]:
    """Return what a colour makes of each red, then of each green, then of each blue value."""
    values = np.arange(256)[None] * (255 - _TINT) + np.array(colour)[:, None] * _TINT
    tints: list[int] = np.rint(values / 255).astype(int).ravel().tolist()
    return tints


def _eroded(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """Erode a mask by `by` pixels along rows and columns."""
    inner = mask.copy()
    inner[by:] &= mask[:-by]
    inner[:-by] &= mask[by:]
    inner[:, by:] &= mask[:, :-by]
    inner[:, :-by] &= mask[:, by:]
    return inner


def _with_heat(preview: NDArray[np.uint8], heatmap: NDArray[np.float32]) -> Image.Image:
    """Blend a heat map, 0 to 1, over the whole of a preview; higher is more opaque.

    The colour of a pixel depends on its gray and on the level of the heat map there, so that it is
    looked up instead of blended.
    """
    height, width = preview.shape
    table = _blended()
    level = _Stretched.of(np.rint(heatmap * 255).clip(0, 255).astype(np.uint8), height, width)
    packed = np.empty((height, width), dtype=np.uint32)  # R, G, B and one unused byte

    def colour(top: int, bottom: int) -> None:
        index = level.rows(top, bottom)
        index += preview[top:bottom].astype(np.int32) << 8
        table.take(index, out=packed[top:bottom], mode="wrap")  # `raise` would buffer the output

    map_bands(colour, height, _BAND)
    return Image.frombytes("RGB", (width, height), packed.data, "raw", "RGBX")


@dataclass(frozen=True, eq=False)
class _Stretched:
    """An array that is resized, bilinear, some rows at a time.

    Pillow resizes along rows first and then along columns. Where rows are added, each lies between
    two others, and adding these in NumPy takes less time than Pillow does, with the same result.

    Attributes:
        wide: h x width, int32, resized along its rows already.
        first, second: rows of `wide` that each row of the result lies between.
        weights: rows of the result x 2 x 1, their shares in units of 2**-22, as Pillow has them.
    """

    wide: NDArray[np.int32]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    weights: NDArray[np.int32]

    @classmethod
    def of(cls, values: NDArray[np.uint8], height: int, width: int) -> "_Stretched":
        """Return an array that is resized to height x width."""
        image = Image.fromarray(values)
        lines = min(image.height, height)  # Pillow does both axes if the rows get fewer
        wide = np.asarray(image.resize((width, lines), Image.Resampling.BILINEAR), dtype=np.int32)
        centre = (np.arange(height) + 0.5) * (lines / height) - 0.5
        first = np.floor(centre).astype(np.intp)
        share = np.rint((centre - first) * _PILLOW_ONE).astype(np.int32)
        weights = np.stack((_PILLOW_ONE - share, share), axis=1)[..., None].astype(np.int32)
        return cls(wide, first.clip(0), (first + 1).clip(max=lines - 1), weights)

    def rows(self, top: int, bottom: int) -> NDArray[np.int32]:
        """Return the rows of a range, 0 to 255."""
        weights = self.weights[top:bottom]
        sums = self.wide[self.first[top:bottom]]
        sums *= weights[:, 0]
        other = self.wide[self.second[top:bottom]]
        other *= weights[:, 1]
        sums += other
        sums += _PILLOW_ONE // 2
        sums >>= _PILLOW_BITS
        return sums


@functools.cache
def _blended() -> NDArray[np.uint32]:
    """Return the colour of each gray under each level of a heat map, by 256 * gray + level."""
    level = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (256, 1)))
    gray = level.transpose(Image.Transpose.TRANSPOSE)
    opacity = level.point([round(value * 0.6) for value in range(256)])
    level.putpalette(_heat_palette())
    blended = Image.merge("RGB", (gray, gray, gray))
    blended.paste(level.convert("RGB"), mask=opacity)
    return np.frombuffer(blended.tobytes("raw", "RGBX"), dtype=np.uint32)


def _heat_palette() -> list[int]:
    """Return 256 colours from dark blue through red to yellow, as r, g, b, r, g, b, ..."""
    stops = np.linspace(0, 255, len(_HEAT))
    channels = [np.interp(np.arange(256), stops, channel) for channel in zip(*_HEAT, strict=True)]
    palette: list[int] = np.rint(np.stack(channels, axis=1)).astype(int).ravel().tolist()
    return palette
