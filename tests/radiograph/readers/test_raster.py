import struct
import zlib
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from radiograph.errors import (
    ColourImage,
    EmptyInput,
    InputError,
    InputTooCostly,
    InputTooLarge,
    MultiFrameImage,
    UndecodablePixels,
    UnsupportedEncoding,
    UnusableImage,
)
from radiograph.limits import Limits
from radiograph.readers import raster
from tests.builders.files.codestreams import halved, jpeg_file, picture, picture_8, zeroed
from tests.builders.files.dicom_files import codes
from tests.builders.files.png_chunks import chunk

GRAY = np.arange(12 * 17, dtype=np.uint8).reshape(12, 17)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gray(kind: str = "PNG", **options: Any) -> bytes:
    return saved(Image.fromarray(GRAY), kind, **options)


def png(width: int, height: int, data: bytes, *, depth: int = 8, kind: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(data, 9))
        + chunk(b"IEND", b"")
    )


def refused(error: type[InputError], data: bytes, **limits: int) -> None:
    with pytest.raises(InputError) as caught:
        raster.read(data, Limits(**limits))
    assert type(caught.value) is error


def test_an_8_bit_png_spreads_over_16_bits() -> None:
    radiograph = raster.read(gray())
    assert np.array_equal(radiograph.pixels, GRAY.astype(np.uint16) * 257)
    assert radiograph.spacing_mm is None
    assert radiograph.view_position is None
    assert radiograph.sop_instance_uid is None
    assert radiograph.warnings == ()


def test_a_16_bit_png_keeps_its_values() -> None:
    stored = np.linspace(0, 65535, 60).astype(np.uint16).reshape(6, 10)
    assert np.array_equal(raster.read(saved(Image.fromarray(stored))).pixels, stored)


def test_a_16_bit_png_of_the_same_picture_gives_the_same_pixels() -> None:
    wide = Image.fromarray(GRAY.astype(np.uint16) * 257)
    assert np.array_equal(raster.read(saved(wide)).pixels, raster.read(gray()).pixels)


def test_a_gray_jpeg_is_read() -> None:
    pixels = raster.read(gray("JPEG", quality=100)).pixels
    assert np.abs(pixels.astype(int) - GRAY.astype(int) * 257).max() <= 3 * 257


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_equal_channels_are_gray(mode: str) -> None:
    image = Image.fromarray(GRAY).convert(mode)
    assert np.array_equal(raster.read(saved(image)).pixels, raster.read(gray()).pixels)


@pytest.mark.parametrize("options", [{"quality": 30}, {"progressive": True}, {"optimize": True}])
@pytest.mark.parametrize("shape", [(1, 1), (7, 130), (161, 64)])
def test_a_sound_gray_jpeg_is_decoded_once_and_as_by_pillow(
    shape: tuple[int, int], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(2).integers(0, 256, shape).astype(np.uint8)
    data = saved(Image.fromarray(noise), "JPEG", **options)
    expected = np.asarray(Image.open(BytesIO(data))).astype(np.uint16) * 257
    monkeypatch.setattr(raster, "_pixels", None)  # the second pass
    assert np.array_equal(raster.read(data).pixels, expected)


def test_a_colour_jpeg_of_a_gray_picture_is_gray() -> None:
    image = Image.fromarray(GRAY).convert("RGB")
    assert raster.read(saved(image, "JPEG")).pixels.shape == GRAY.shape


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colour_is_refused(mode: str) -> None:
    image = Image.new("RGB", (9, 9), (10, 20, 30)).convert(mode)
    refused(ColourImage, saved(image))


def test_one_differing_pixel_is_colour() -> None:
    image = Image.fromarray(GRAY).convert("RGB")
    image.putpixel((3, 3), (1, 2, 3))
    refused(ColourImage, saved(image))


def test_a_cmyk_jpeg_is_colour() -> None:
    refused(ColourImage, saved(Image.new("CMYK", (9, 9)), "JPEG"))


def test_one_bit_per_pixel_is_refused() -> None:
    refused(UnusableImage, saved(Image.fromarray(GRAY).convert("1")))


def test_transparent_pixels_are_black() -> None:
    image = Image.new("LA", (4, 1), (200, 255))
    image.putpixel((1, 0), (200, 0))
    image.putpixel((2, 0), (0, 0))
    assert raster.read(saved(image)).pixels.tolist() == [[200 * 257, 0, 0, 200 * 257]]


def test_a_transparent_gray_value_is_black() -> None:
    data = saved(Image.new("L", (4, 1), 200), transparency=200)
    assert raster.read(data).pixels.tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize("depth", [2, 4])
def test_a_transparent_gray_value_of_few_bits_is_black(depth: int) -> None:
    top = 2**depth - 1
    row = bytes([0, sum(top << shift for shift in range(0, 8, 2 * depth))])  # values top and 0
    transparent = chunk(b"tRNS", struct.pack(">H", 0xFF00 + top))
    plain = png(8 // depth, 1, row, depth=depth)
    assert raster.read(plain).pixels.max() == 65535
    made = plain[:33] + transparent + plain[33:]
    assert raster.read(made).pixels.tolist() == [[0] * (8 // depth)]


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, GRAY),
        (2, GRAY[:, ::-1]),
        (3, GRAY[::-1, ::-1]),
        (6, GRAY.T[:, ::-1]),
        (8, GRAY.T[::-1]),
    ],
)
def test_the_exif_orientation_is_applied(orientation: int, expected: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(raster.read(gray(exif=exif)).pixels, expected.astype(np.uint16) * 257)
    jpeg = raster.read(gray("JPEG", exif=exif, quality=100)).pixels
    assert np.abs(jpeg / 257.0 - expected).max() <= 3


def test_the_exif_orientation_is_applied_to_16_bits() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = GRAY.astype(np.uint16) * 257
    data = saved(Image.fromarray(wide), exif=exif)
    assert np.array_equal(raster.read(data).pixels, wide.T[:, ::-1])


XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_orientation_in_xmp_is_ignored_as_viewers_do(kind: str) -> None:
    notes = PngInfo()
    notes.add_itxt("XML:com.adobe.xmp", XMP)
    options: dict[str, Any] = {"pnginfo": notes} if kind == "PNG" else {"xmp": XMP.encode()}
    assert raster.read(gray(kind, **options)).pixels.shape == GRAY.shape


@pytest.mark.parametrize(
    ("kind", "exif"),
    [
        ("PNG", b"Exif\0\0nonsense"),
        ("PNG", b"Exif\0\0II*\0\xff\xff\xff\xff"),
        ("JPEG", b"Exif\0\0nonsense"),
        ("JPEG", b"Exif\0\0"),
    ],
)
def test_broken_exif_does_no_harm(kind: str, exif: bytes) -> None:
    assert raster.read(gray(kind, exif=exif)).pixels.shape == GRAY.shape


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP", "WEBP", "ICO", "PPM"])
def test_other_formats_are_unsupported(kind: str) -> None:
    refused(UnsupportedEncoding, gray(kind))


@pytest.mark.parametrize("data", [b"PK\3\4" + b"\0" * 50, b"\0" * 132 + b"DICM", b"<svg/>"])
def test_a_file_that_is_not_an_image_is_unsupported(data: bytes) -> None:
    refused(UnsupportedEncoding, data)


def test_an_empty_file_is_called_empty() -> None:
    refused(EmptyInput, b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("part", [0.05, 0.1, 0.5, 0.9])
def test_a_file_that_is_cut_short_is_undecodable(kind: str, part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    data = saved(Image.fromarray(noise), kind)
    refused(UndecodablePixels, data[: int(len(data) * part)])


def test_an_animated_png_is_refused() -> None:
    frames = [Image.fromarray(GRAY), Image.fromarray(GRAY[::-1])]
    refused(MultiFrameImage, saved(frames[0], save_all=True, append_images=frames[1:]))


def test_of_several_jpeg_pictures_the_first_is_read() -> None:
    first, second = (Image.fromarray(GRAY + step) for step in (0, 50))
    cameras = saved(first, "MPO", save_all=True, append_images=[second], quality=100)
    for data in (cameras, saved(first, "JPEG", quality=100) + saved(second, "JPEG")):
        radiograph = raster.read(data)
        assert np.abs(radiograph.pixels / 257.0 - GRAY).max() <= 3
        assert codes(radiograph.warnings) == ["excess_pixel_data"]


@pytest.mark.parametrize("side", [8001, 20_000, 2**31 - 1])
def test_a_png_bomb_is_refused_by_its_header(side: int) -> None:
    refused(InputTooLarge, png(side, side, b"\0" * 100))


def test_a_jpeg_bomb_is_refused_by_its_header() -> None:
    data = bytearray(gray("JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
    refused(InputTooLarge, bytes(data))


def test_a_text_chunk_bomb_is_not_inflated() -> None:
    data = gray()
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 50_000_000, 9))
    assert np.array_equal(
        raster.read(data[:33] + bomb + data[33:]).pixels, raster.read(data).pixels
    )


@pytest.mark.parametrize("where", [33, -12])
def test_a_flood_of_png_chunks_is_refused(where: int) -> None:
    data = gray()
    refused(InputTooLarge, data[:where] + chunk(b"aaAa", b"") * 60_000 + data[where:])


@pytest.mark.parametrize("filler", [b"\xff\xfe\0\2", b"\xff\xe1\0\2", b"\xff"])
@pytest.mark.parametrize("before", [b"\xff\xc0", b"\xff\xda"])
def test_a_flood_of_jpeg_markers_is_refused(filler: bytes, before: bytes) -> None:
    data = gray("JPEG")
    at = data.index(before)
    refused(InputTooLarge, data[:at] + filler * 60_000 + data[at:])


def test_a_flood_of_jpeg_scans_is_refused() -> None:
    data = gray("JPEG", progressive=True)
    assert raster.read(data).rows == 12
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    refused(InputTooLarge, data[:-2] + last_scan * 100 + data[-2:])


@pytest.mark.parametrize("between", [b"", b"garbage"])
def test_scans_are_bounded_by_the_size_of_the_picture(between: bytes) -> None:
    data = gray("JPEG", progressive=True)
    frame = data.index(b"\xff\xc2") + 5
    large = data[:frame] + struct.pack(">HH", 8000, 8000) + data[frame + 4 :]
    last_scan = between + data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(InputTooCostly, match="scans of 8000 x 8000 pixels"):
        raster.read(large[:-2] + last_scan * 20 + large[-2:])
    with pytest.raises(UndecodablePixels, match="contradict"):  # a small one may have as many
        raster.read(data[:-2] + last_scan[len(between) :] * 20 + data[-2:])


def test_more_image_data_than_the_header_says_are_not_inflated() -> None:
    data = png(4, 4, b"\0" * 50_000_000)
    assert raster.read(data).pixels.shape == (4, 4)


def test_limits_are_those_of_the_caller() -> None:
    data = gray()
    assert raster.read(data, Limits(max_bytes=len(data), max_pixels=12 * 17)).rows == 12
    refused(InputTooLarge, data, max_bytes=len(data) - 1)
    refused(InputTooLarge, data, max_pixels=12 * 17 - 1)


def test_a_png_without_pixels_is_undecodable() -> None:
    refused(UndecodablePixels, png(0, 5, b""))


@settings(max_examples=100, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["PNG", "JPEG"]))
def test_damaged_files_end_as_a_result_or_an_input_error(data: st.DataObject, kind: str) -> None:
    file = bytearray(gray(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(8, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        radiograph = raster.read(bytes(file), Limits(max_pixels=100_000))
    except InputError:
        return
    assert radiograph.pixels.size > 0


SMOOTH = picture_8()
JPEG_FILES = {
    "baseline": jpeg_file(SMOOTH),
    "progressive": jpeg_file(SMOOTH, progressive=True),
    "restart intervals": jpeg_file(SMOOTH, restart_marker_rows=3),
    "three channels": saved(Image.fromarray(SMOOTH).convert("RGB"), "JPEG"),
}
each_file = pytest.mark.parametrize("name", JPEG_FILES)


@each_file
def test_a_jpeg_of_which_half_is_missing_is_refused(name: str) -> None:
    refused(UndecodablePixels, halved(JPEG_FILES[name]))


@each_file
def test_zeros_in_the_middle_of_a_jpeg_are_refused_or_a_warning(name: str) -> None:
    try:
        warned = raster.read(zeroed(JPEG_FILES[name], 512)).warnings
    except InputError:
        return
    assert codes(warned) == ["damaged_pixel_data"]


@each_file
@pytest.mark.parametrize("filler", [b"", b"\0", b"\0\0\0", b"\xff\xff", b"\xff\xfe\0\4hi"])
@pytest.mark.parametrize("end", [b"\xff\xd9", b"\xff\xd9" + b"\0" * 100, b""])
def test_bytes_around_the_end_of_a_jpeg_do_no_harm(name: str, filler: bytes, end: bytes) -> None:
    data = JPEG_FILES[name]
    radiograph = raster.read(data[:-2] + filler + end)
    assert np.array_equal(radiograph.pixels, raster.read(data).pixels)
    assert radiograph.warnings == ()


@pytest.mark.parametrize(("kept", "error"), [(2, None), (1, None), (0, UndecodablePixels)])
def test_a_progressive_jpeg_without_its_last_scans_is_a_warning(
    kept: int, error: type[InputError] | None
) -> None:
    data = JPEG_FILES["progressive"]
    starts = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    # The Huffman tables of the next scan stand before it; libjpeg skips them.
    shortened = data[: starts[kept]] + b"\xff\xd9"
    if error is not None:
        refused(error, shortened)
    else:
        assert codes(raster.read(shortened).warnings) == ["damaged_pixel_data"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (imagecodecs.jpeg8_encode(picture(), 90, bitspersample=12), "12-bit JPEG"),
        (imagecodecs.jpeg8_encode(SMOOTH, lossless=True), "lossless JPEG"),
        (imagecodecs.jpeg8_encode(picture(), lossless=True), "lossless JPEG"),
        (imagecodecs.jpegls_encode(SMOOTH), "JPEG-LS"),
    ],
)
def test_jpeg_that_is_not_read_is_unsupported(data: bytes, reason: str) -> None:
    with pytest.raises(UnsupportedEncoding, match=reason):
        raster.read(bytes(data))
