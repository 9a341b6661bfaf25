"""16-bit PNG files with alpha, colour channels or a transparent value keep their 16 bits."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from radiograph.errors import ColourImage, InputError, InputTooLarge, UndecodablePixels
from radiograph.limits import Limits
from radiograph.readers import raster
from tests.builders.files.png_chunks import chunk

GRAY = np.arange(12 * 17, dtype=np.uint16).reshape(12, 17) * 20  # 12 bits: 0 to 4060
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def png(samples: NDArray[np.uint16], *, before: bytes = b"", after: bytes = b"") -> bytes:
    """Return a 16-bit PNG file of rows x columns x channels samples, with further chunks."""
    rows, columns, channels = samples.shape
    header = struct.pack(">IIBBBBB", columns, rows, 16, COLOUR_TYPES[channels], 0, 0, 0)
    filtered = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + before
        + chunk(b"IDAT", zlib.compress(filtered))
        + after
        + chunk(b"IEND", b"")
    )


def channels(gray: NDArray[np.uint16], count: int, alpha: int = 65535) -> NDArray[np.uint16]:
    """Repeat gray samples; the last of 2 or 4 channels is alpha."""
    samples = np.repeat(gray[..., None], count, axis=2)
    if count in (2, 4):
        samples[..., -1] = alpha
    return samples


def transparent(*value: int) -> bytes:
    return chunk(b"tRNS", struct.pack(f">{len(value)}H", *value))


def orientation(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_all_16_bits_are_kept(count: int) -> None:
    assert np.array_equal(raster.read(png(channels(GRAY, count))).pixels, GRAY)


def test_interlaced_samples_keep_16_bits() -> None:
    small = np.array([[[300, 65535]]], dtype=np.uint16)  # of one pixel, the first pass is all
    data = bytearray(png(small))
    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    assert raster.read(bytes(data)).pixels.tolist() == [[300]]


@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_channels_that_differ_in_the_low_byte_are_colour(count: int, channel: int) -> None:
    samples = channels(GRAY, count)
    samples[5, 7, channel] += 1
    with pytest.raises(ColourImage):
        raster.read(png(samples))


@pytest.mark.parametrize("count", [2, 4])
def test_transparent_pixels_are_black(count: int) -> None:
    samples = channels(GRAY, count)
    samples[3, :, -1] = 0
    samples[4, :, -1] = 0x8000
    pixels = raster.read(png(samples)).pixels
    assert not pixels[3].any()
    assert np.abs(pixels[4].astype(int) - GRAY[4] // 2).max() <= 1
    assert np.array_equal(pixels[5:], GRAY[5:])


def test_gray_is_multiplied_by_alpha_and_rounded() -> None:
    values = np.array([0, 1, 2, 255, 32767, 32768, 40000, 65534, 65535], dtype=np.uint16)
    gray, alpha = np.meshgrid(values, values)
    expected = np.floor(gray.astype(float) * alpha / 65535 + 0.5)
    data = png(np.stack([gray, alpha], axis=2))
    assert np.array_equal(raster.read(data).pixels, expected)


def test_hidden_colour_of_transparent_pixels_is_no_colour() -> None:
    samples = channels(GRAY, 4)
    samples[0, 0] = (9, 8, 7, 0)
    assert raster.read(png(samples)).pixels[0, 0] == 0


@pytest.mark.parametrize("count", [1, 3])
def test_a_transparent_value_is_black(count: int) -> None:
    data = png(channels(GRAY, count), before=transparent(*[4060] * count))
    expected = np.where(GRAY == 4060, 0, GRAY)
    assert np.array_equal(raster.read(data).pixels, expected)


def test_a_transparent_value_is_compared_in_16_bits() -> None:
    gray = np.array([[4060, 4061]], dtype=np.uint16)
    data = png(channels(gray, 1), before=transparent(4060))
    assert raster.read(data).pixels.tolist() == [[0, 4061]]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, GRAY),
        (2, GRAY[:, ::-1]),
        (3, GRAY[::-1, ::-1]),
        (4, GRAY[::-1]),
        (5, GRAY.T),
        (6, GRAY.T[:, ::-1]),
        (7, GRAY.T[::-1, ::-1]),
        (8, GRAY.T[::-1]),
        (9, GRAY),
    ],
)
@pytest.mark.parametrize("place", ["before", "after"])
def test_the_exif_orientation_is_applied(count: int, value: int, expected: Any, place: str) -> None:
    data = png(channels(GRAY, count), **{place: orientation(value)})
    assert np.array_equal(raster.read(data).pixels, expected)


def test_many_rows_are_compared_in_blocks() -> None:
    gray = np.arange(600 * 700, dtype=np.uint32).reshape(600, 700).astype(np.uint16)
    samples = channels(gray, 3)
    assert np.array_equal(raster.read(png(samples)).pixels, gray)
    samples[599, 699, 1] ^= 1
    with pytest.raises(ColourImage):
        raster.read(png(samples))


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_a_file_that_is_cut_short_is_undecodable(count: int, part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 65535, (64, 64), dtype=np.uint16)
    data = png(channels(noise, count))
    with pytest.raises(UndecodablePixels):
        raster.read(data[: int(len(data) * part)])


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_bomb_is_refused_by_its_header(count: int) -> None:
    data = bytearray(png(channels(GRAY, count), before=transparent(1) if count == 1 else b""))
    data[16:24] = struct.pack(">II", 20_000, 20_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(InputTooLarge):
        raster.read(bytes(data))


def test_more_image_data_than_the_header_says_are_not_inflated() -> None:
    samples = channels(GRAY, 2)
    filtered = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", 17, 12, 16, 4, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(filtered + bytes(50_000_000), 9))
        + chunk(b"IEND", b"")
    )
    assert np.array_equal(raster.read(data).pixels, GRAY)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), count=st.sampled_from([1, 2, 3, 4]))
def test_damaged_files_end_as_a_result_or_an_input_error(data: st.DataObject, count: int) -> None:
    file = bytearray(png(channels(GRAY, count), before=transparent(9) if count == 1 else b""))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(8, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        radiograph = raster.read(bytes(file), Limits(max_pixels=100_000))
    except InputError:
        return
    assert radiograph.pixels.size > 0


def test_the_same_picture_in_8_bits_gives_the_same_pixels() -> None:
    narrow = (GRAY // 20).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(narrow).convert("LA").save(buffer, "PNG")
    wide = png(channels(narrow.astype(np.uint16) * 257, 2))
    assert np.array_equal(raster.read(wide).pixels, raster.read(buffer.getvalue()).pixels)


BROKEN_TEXT = chunk(b"tEXt", b"Comment\0text")[:-1] + b"?"  # with a wrong checksum
LONG_TEXT = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b" " * 2_000_000))


@pytest.mark.parametrize("extra", [BROKEN_TEXT, LONG_TEXT, chunk(b"iCCP", b"x\0\0nonsense")])
@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_chunks_that_do_not_concern_the_pixels_do_no_harm(
    extra: bytes, before: bytes, dtype: type[np.unsignedinteger]
) -> None:
    buffer = BytesIO()
    Image.fromarray(GRAY.astype(dtype)).save(buffer, "PNG")
    data = buffer.getvalue()
    at = data.index(before) - 4
    assert np.array_equal(
        raster.read(data[:at] + extra + data[at:]).pixels, raster.read(data).pixels
    )


def test_a_critical_chunk_with_a_wrong_checksum_is_undecodable() -> None:
    data = bytearray(png(channels(GRAY, 1)))
    data[data.index(b"IDAT") + 20] ^= 1
    with pytest.raises(UndecodablePixels):
        raster.read(bytes(data))
