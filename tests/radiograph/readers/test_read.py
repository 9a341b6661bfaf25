"""The entry point for files: the media type is stated or detected, and must be true."""

from itertools import permutations

import pytest

from radiograph.errors import InputTooLarge, MalformedInput, UnsupportedEncoding
from radiograph.limits import Limits
from radiograph.readers.read import DICOM, JPEG, MEDIA_TYPES, PNG, UNKNOWN, read
from tests.builders.files.sample_files import bright_rectangle, dicom_file, jpeg_file, png_file

PIXELS = bright_rectangle(40, 30, (5, 5, 20, 25))
FILES = {DICOM: dicom_file(PIXELS), PNG: png_file(PIXELS), JPEG: jpeg_file(PIXELS)}


def test_every_media_type_but_the_unknown_one_has_a_file_here() -> None:
    assert {*FILES, UNKNOWN} == set(MEDIA_TYPES)


@pytest.mark.parametrize("media_type", FILES)
def test_a_file_of_its_stated_media_type_is_read(media_type: str) -> None:
    radiograph = read(FILES[media_type], media_type)
    assert (radiograph.rows, radiograph.columns) == (40, 30)


@pytest.mark.parametrize("media_type", FILES)
def test_the_media_type_is_detected_if_it_is_unknown(media_type: str) -> None:
    detected, stated = read(FILES[media_type], UNKNOWN), read(FILES[media_type], media_type)
    assert detected.pixels.tobytes() == stated.pixels.tobytes()


def test_a_dicom_file_without_a_preamble_is_detected() -> None:
    assert read(FILES[DICOM][132:]).rows == 40


@pytest.mark.parametrize(("stated", "actual"), list(permutations(FILES, 2)))
def test_a_false_media_type_is_malformed(stated: str, actual: str) -> None:
    with pytest.raises(MalformedInput):
        read(FILES[actual], stated)


@pytest.mark.parametrize("media_type", ["image/tiff", "text/plain", ""])
def test_another_media_type_is_unsupported(media_type: str) -> None:
    with pytest.raises(UnsupportedEncoding, match="a file is one of application/dicom"):
        read(FILES[PNG], media_type)


@pytest.mark.parametrize("data", [b"%PDF-1.7", b"GIF89a" + b"\0" * 50, b"\0" * 200])
def test_a_file_of_no_known_format_is_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedEncoding):
        read(data)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x1f\x8b\x08\0", "a gzip file"),
        (b"PK\3\4", "a zip file"),
        (b"MM\0*", "TIFF"),
        (b"BM\1\2\3\4\0\0\0\0", "BMP"),
        (b"RIFF\1\2\3\4WEBP", "WebP"),
        (b"\0\0\0\x18ftypheic", "HEIF or AVIF"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"%PDF-1.7", "PDF"),
        (b"hello", "of an unknown format"),
    ],
)
def test_a_format_that_is_not_read_is_named(data: bytes, kind: str) -> None:
    with pytest.raises(UnsupportedEncoding, match=f"the file is {kind};"):
        read(data + bytes(200))


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_an_empty_file_is_malformed(media_type: str) -> None:
    with pytest.raises(MalformedInput, match="empty"):
        read(b"", media_type)


@pytest.mark.parametrize("media_type", FILES)
@pytest.mark.parametrize("limits", [Limits(max_bytes=100), Limits(max_pixels=40 * 30 - 1)])
def test_limits_apply_to_every_format(media_type: str, limits: Limits) -> None:
    with pytest.raises(InputTooLarge):
        read(FILES[media_type], media_type, limits)
