"""Missing rows of a PNG file, which Pillow leaves black.

    last row of pixels --any sample above 0--> complete
                       --none--> inflate the image data again, and count

The image data may end early although every checksum is right, as a writer that was interrupted
leaves them. Pillow fills rows from the top and starts with zeros. So only a picture whose last row
is all zeros is inflated a second time. Interlaced data fill rows in another order, and are counted
always.

Source: PNG, third edition, sections 7.2 (scanlines), 8.1 (interlacing) and 10.1 (compression).
"""

import zlib

import numpy as np
from PIL import Image

from radiograph.errors import UndecodablePixels
from radiograph.readers.png16 import PngHeader, chunks

_INFLATED_BYTES = 2**16
"""Bytes that are inflated at once, so that image data without end cost no memory."""

# First column and row of each pass, and the distance of its columns and rows.
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def check_rows(data: bytes, header: PngHeader, image: Image.Image) -> None:
    """Refuse a file whose image data end before the last row.

    Args:
        data: the file.
        header: its header.
        image: the picture that Pillow decoded from it.

    Raises:
        UndecodablePixels: rows are missing.
    """
    last_row = image.crop((0, image.height - 1, image.width, image.height))
    if not header.interlaced and np.asarray(last_row).any():
        return
    if not _inflates_to(data, _filtered_bytes(header)):
        raise UndecodablePixels("rows of the PNG picture are missing")


def _filtered_bytes(header: PngHeader) -> int:
    """Return the length of the image data, with a byte for the filter of each row."""
    passes = _ADAM7 if header.interlaced else ((0, 0, 1, 1),)
    total = 0
    for left, top, step_x, step_y in passes:
        columns = -(-(header.columns - left) // step_x)
        rows = -(-(header.rows - top) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * header.bits_per_pixel // 8))
    return total


def _inflates_to(data: bytes, length: int) -> bool:
    """Return whether the image data of a file inflate to at least that many bytes."""
    view, stream, missing = memoryview(data), zlib.decompressobj(), length
    for kind, at in chunks(data):
        if kind != b"IDAT":
            continue
        size = int.from_bytes(view[at : at + 4], "big")
        pending: bytes | memoryview = view[at + 8 : at + 8 + size]
        while pending:
            missing -= len(stream.decompress(pending, _INFLATED_BYTES))
            pending = stream.unconsumed_tail
            if missing <= 0:
                return True
    return missing - len(stream.flush()) <= 0
