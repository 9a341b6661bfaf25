"""A PNG file whose image data end before the last row is refused, with right checksums too."""

import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray

from radiograph.errors import UndecodablePixels
from radiograph.readers import raster
from tests.builders.files.png_chunks import chunk

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
FORMS = [(np.uint8, 1), (np.uint8, 2), (np.uint8, 3), (np.uint8, 4), (np.uint16, 1), (np.uint16, 3)]
each_form = pytest.mark.parametrize(("dtype", "channels"), FORMS)
interlacing = pytest.mark.parametrize("interlaced", [False, True])


def picture(dtype: type[np.unsignedinteger], channels: int) -> NDArray[np.unsignedinteger]:
    """Gray samples of 21 x 19 pixels above 0, opaque."""
    gray = (np.arange(21 * 19).reshape(21, 19) % 200 + 1).astype(dtype)
    samples = np.repeat(gray[..., None], channels, axis=2)
    if channels in (2, 4):
        samples[..., -1] = np.iinfo(dtype).max
    return samples


def filtered(samples: NDArray[np.unsignedinteger], *, interlaced: bool) -> bytes:
    """Return the image data before compression: each row with its filter, 0."""
    big_endian = samples.astype(samples.dtype.newbyteorder(">"))
    passes = PASSES if interlaced else ((0, 0, 1, 1),)
    parts = [big_endian[top::down, left::across] for left, top, across, down in passes]
    return b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)


def png(samples: NDArray[np.unsignedinteger], data: bytes, *, interlaced: bool) -> bytes:
    rows, columns, channels = samples.shape
    depth, kind = samples.dtype.itemsize * 8, COLOUR_TYPES[channels]
    header = struct.pack(">IIBBBBB", columns, rows, depth, kind, 0, 0, interlaced)
    pieces = [chunk(b"IDAT", data[at : at + 50]) for at in range(0, len(data), 50)]
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(pieces) + chunk(b"IEND", b"")


@each_form
@interlacing
def test_a_whole_picture_is_read(
    dtype: type[np.unsignedinteger], channels: int, interlaced: bool
) -> None:
    samples = picture(dtype, channels)
    data = zlib.compress(filtered(samples, interlaced=interlaced))
    pixels = raster.read(png(samples, data, interlaced=interlaced)).pixels
    scale = 257 if dtype == np.uint8 else 1
    assert np.array_equal(pixels, samples[..., 0].astype(np.uint16) * scale)


@each_form
@interlacing
@pytest.mark.parametrize("missing_rows", [1, 10])
def test_missing_rows_are_refused(
    dtype: type[np.unsignedinteger], channels: int, interlaced: bool, missing_rows: int
) -> None:
    samples = picture(dtype, channels)
    row_bytes = 1 + 19 * channels * samples.dtype.itemsize
    data = filtered(samples, interlaced=interlaced)[: -missing_rows * row_bytes]
    with pytest.raises(UndecodablePixels, match=r"missing|cannot be decoded"):
        raster.read(png(samples, zlib.compress(data), interlaced=interlaced))


@each_form
@interlacing
def test_a_picture_with_a_black_last_row_is_read(
    dtype: type[np.unsignedinteger], channels: int, interlaced: bool
) -> None:
    samples = picture(dtype, channels)
    samples[-1] = 0
    data = zlib.compress(filtered(samples, interlaced=interlaced))
    pixels = raster.read(png(samples, data, interlaced=interlaced)).pixels
    assert not pixels[-1].any()
    assert pixels[:-1].all()


@pytest.mark.parametrize(("depth", "columns"), [(2, 5), (4, 3)])
def test_rows_of_few_bits_are_counted_in_whole_bytes(depth: int, columns: int) -> None:
    header = struct.pack(">IIBBBBB", columns, 3, depth, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)

    def file(rows: int) -> bytes:
        return start + chunk(b"IDAT", zlib.compress(b"\0\0\0" * rows)) + chunk(b"IEND", b"")

    assert raster.read(file(3)).rows == 3
    with pytest.raises(UndecodablePixels, match="rows of the PNG picture are missing"):
        raster.read(file(2))
