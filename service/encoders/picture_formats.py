"""Formats of pictures: an image as PNG, JPEG or WebP, whichever this Pillow can write.

PNG is lossless. JPEG and WebP lose fine noise, for a fifth and a tenth of the bytes; they are for
display, as every overlay is.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image, features

from service.encoders import png_writer

PNG, JPEG, WEBP = "image/png", "image/jpeg", "image/webp"


@dataclass(frozen=True)
class PictureFormat:
    """One format of pictures.

    Attributes:
        suffixes: file name suffixes, lower case.
        max_side_px: longest side that the format can hold.
        codec: feature of Pillow that writes the format, or None if none is needed.
        write: encodes an image of mode RGB.
    """

    suffixes: tuple[str, ...]
    max_side_px: int
    codec: str | None
    write: Callable[[Image.Image], bytes]


def _saved(form: str, **options: Any) -> Callable[[Image.Image], bytes]:
    """Return an encoder by Pillow."""

    def write(image: Image.Image) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, form, **options)
        return buffer.getvalue()

    return write


FORMATS = {
    PNG: PictureFormat((".png",), 2**31 - 1, None, png_writer.encode),
    # Without subsampling of colours, which would blur text and outlines.
    JPEG: PictureFormat((".jpg", ".jpeg"), 65500, "jpg", _saved("JPEG", quality=85, subsampling=0)),
    WEBP: PictureFormat((".webp",), 16383, "webp", _saved("WEBP", quality=80, method=0)),
}
"""Formats by media type, the preferred one first."""


def available() -> tuple[str, ...]:
    """Return the media types that can be written here."""
    return tuple(name for name, form in FORMATS.items() if _can_write(form))


def missing() -> tuple[str, ...]:
    """Return the media types that this Pillow was built without."""
    return tuple(name for name, form in FORMATS.items() if not _can_write(form))


def of_suffix(suffix: str) -> PictureFormat | None:
    """Return the format of a file name suffix, None if none that can be written here has it."""
    matches = (form for form in FORMATS.values() if suffix.lower() in form.suffixes)
    return next(filter(_can_write, matches), None)


def encode(image: Image.Image, media_type: str) -> bytes:
    """Encode an image of mode RGB in one of the available formats."""
    return FORMATS[media_type].write(image)


def convert(png: bytes, media_type: str) -> bytes:
    """Return a picture that was encoded as PNG in another format."""
    if media_type == PNG:
        return png
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        return encode(image, media_type)


def _can_write(form: PictureFormat) -> bool:
    return form.codec is None or bool(features.check(form.codec))
