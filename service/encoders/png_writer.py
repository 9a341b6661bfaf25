"""PNG writer: encode an RGB image as PNG, six times as fast as Pillow.

    image -> rows, each minus the row above (filter 2, "up") -> zlib by libdeflate -> three chunks

Pillow tries every filter for every row and compresses with zlib. At its lowest level it takes six
times as long for a radiograph of 2048 rows, and the file is a tenth larger. The file holds the size
and the pixels, and no text, time or other chunk.

Source: PNG specification (third edition), 5 "Datastream structure", 9 "Filtering".
"""

import struct
import zlib

import numpy as np
from imagecodecs import deflate_encode
from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BITS, _RGB, _DEFLATE, _ADAPTIVE, _NOT_INTERLACED = 8, 2, 0, 0, 0
_UP = 2
_BAND_ROWS = 128
"""Rows filtered at a time, so that they stay in the cache and no second whole copy is made."""


def encode(image: Image.Image) -> bytes:
    """Encode an image as PNG: 8 bits, RGB, lightly compressed.

    The same pixels give the same bytes.

    Args:
        image: mode RGB, at least 1 x 1.
    """
    size = struct.pack(">II", *image.size)
    header = size + bytes((_BITS, _RGB, _DEFLATE, _ADAPTIVE, _NOT_INTERLACED))
    pixels = deflate_encode(_filtered(image), 1)
    return b"".join(
        (_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", pixels), _chunk(b"IEND", b""))
    )


def _filtered(image: Image.Image) -> bytearray:
    """Return rows x (1 + 3 * columns) bytes: filter type, then each sample minus the one above.

    Differences are modulo 256, as unsigned bytes wrap.
    """
    columns, rows = image.size
    lines = bytearray(rows * (1 + 3 * columns))
    filtered = np.frombuffer(lines, dtype=np.uint8).reshape(rows, -1)
    filtered[:, 0] = _UP
    for top in range(0, rows, _BAND_ROWS):
        bottom = min(top + _BAND_ROWS, rows)
        band = image.crop((0, top - 1, columns, bottom))  # black above the first row
        samples = np.asarray(band).reshape(bottom - top + 1, 3 * columns)
        np.subtract(samples[1:], samples[:-1], out=filtered[top:bottom, 1:])
    return lines


def _chunk(name: bytes, data: bytes | bytearray) -> bytes:
    check = zlib.crc32(data, zlib.crc32(name))
    return b"".join((struct.pack(">I", len(data)), name, data, struct.pack(">I", check)))
