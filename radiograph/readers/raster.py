"""PNG and JPEG bytes -> Radiograph.

    bytes --signature--> size from the header, checked --decode--> EXIF orientation --> gray

A colour file whose channels are all equal is gray, and so is a palette of grays. Transparent
pixels are laid over black. Pixels are those of the picture as a viewer shows it, after the
EXIF orientation, and results are in these.

A 16-bit PNG keeps its 16 bits; 8 bits are spread over the same range (x 257), so that the same
picture gives the same pixels either way. PNG and JPEG say nothing of spacing, view or patient.
"""

from collections.abc import Iterator
from io import BytesIO
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from radiograph.errors import (
    ColourImage,
    InputTooLarge,
    MultiFrameImage,
    UnsupportedEncoding,
    UnusableImage,
)
from radiograph.image import Radiograph
from radiograph.limits import DEFAULT_LIMITS, Limits, malformed

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_START_OF_SCAN = b"\xff\xda"
_MAX_PARTS = 50_000
_MAX_SCANS = 100
_FORMATS = ("PNG", "JPEG")
_SPREAD_8_TO_16 = 257


def read(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Radiograph:
    """Read one chest radiograph from a PNG or JPEG file.

    Args:
        data: the file.
        limits: what it may cost; the pixels are checked before anything is decoded.

    Raises:
        UnsupportedEncoding: neither PNG nor JPEG.
        MalformedInput: broken or cut short.
        InputTooLarge: more bytes or pixels than the limits allow.
        MultiFrameImage: animated, or several pictures in one file.
        ColourImage: channels that differ.
        UnusableImage: one bit per pixel.
    """
    limits.check_bytes(data)
    if not data.startswith((_PNG, _JPEG)):
        raise UnsupportedEncoding("the file is neither PNG nor JPEG")
    _check_parts(data)
    with malformed("the image cannot be decoded"), _open(data) as image:
        limits.check_pixels(image.height, image.width)
        if getattr(image, "n_frames", 1) > 1:
            raise MultiFrameImage("more than one picture in the file")
        image.load()
        return Radiograph(pixels=_gray(ImageOps.exif_transpose(image)))


def _check_parts(data: bytes) -> None:
    """Refuse a flood of chunks, markers or scans.

    Pillow walks the first two in Python, at a second for two megabytes of empty ones. Each scan of
    a progressive JPEG goes over the whole image and may be ten bytes long.
    """
    parts = _png_chunks(data) if data.startswith(_PNG) else _jpeg_markers(data)
    if next(islice(parts, _MAX_PARTS, None), None) is not None:
        raise InputTooLarge(f"the file has more than {_MAX_PARTS} parts")
    if data.startswith(_JPEG) and data.count(_START_OF_SCAN) > _MAX_SCANS:
        raise InputTooLarge(f"the file has more than {_MAX_SCANS} scans")


def _png_chunks(data: bytes) -> Iterator[int]:
    """Where each chunk starts."""
    at = len(_PNG)
    while at + 8 <= len(data):
        yield at
        at += 12 + int.from_bytes(data[at : at + 4], "big")


def _jpeg_markers(data: bytes) -> Iterator[int]:
    """Where each marker before the first scan starts; every fill byte is one."""
    at = 2
    while at + 4 <= len(data) and data[at : at + 2] != _START_OF_SCAN:
        yield at
        filler = data[at] != 0xFF or data[at + 1] == 0xFF
        at += 1 if filler else 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _open(data: bytes) -> Image.Image:
    """The header only; nothing is decoded yet."""
    try:
        return Image.open(BytesIO(data), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputTooLarge("the image has too many pixels") from None


def _gray(image: Image.Image) -> NDArray[np.uint16]:
    """Any mode that Pillow gives for PNG and JPEG -> rows x columns, uint16."""
    if image.mode == "1":
        raise UnusableImage("one bit per pixel is a drawing or a mask, not a radiograph")
    if image.mode == "CMYK":
        raise ColourImage("the image is in colour")
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.uint16)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "black"), layer)
    if image.mode != "L":
        image = _equal_channel(image.convert("RGB"))
    return np.asarray(image).astype(np.uint16) * np.uint16(_SPREAD_8_TO_16)


def _equal_channel(image: Image.Image) -> Image.Image:
    """The one channel of an RGB image whose channels are all equal."""
    red, green, blue = image.split()
    if not (red.tobytes() == green.tobytes() == blue.tobytes()):
        raise ColourImage("the image is in colour")
    return red
