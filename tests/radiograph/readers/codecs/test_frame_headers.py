import struct

import imagecodecs
import numpy as np
import pytest
from pydicom import uid

from radiograph.errors import UndecodablePixels, UnsupportedEncoding
from radiograph.readers.codecs import jpeg2000, jpeg_ls
from radiograph.readers.codecs.frame import FrameHeader
from radiograph.readers.codecs.jpeg import decode as jpeg
from radiograph.readers.codecs.jpeg import markers as jpeg_markers
from radiograph.readers.codecs.transfer_syntaxes import JPEG_2000, JPEG_LS

PICTURE = np.arange(6 * 9, dtype=np.uint16).reshape(6, 9)
PICTURE_8 = PICTURE.astype(np.uint8)


def frame_header(transfer_syntax: str, codestream: bytes) -> FrameHeader:
    """The header of a codestream."""
    if transfer_syntax in JPEG_2000:
        return jpeg2000.header(codestream)
    if transfer_syntax in JPEG_LS:
        return jpeg_ls.header(codestream)
    return jpeg_markers.parse(codestream).header


def head(sof: int, *, components: int = 1, before: bytes = b"") -> bytes:
    """The head of a JPEG of 6 rows and 9 columns, and its end."""
    frame = struct.pack(">BBHBHHB", 0xFF, sof, 8 + 3 * components, 12, 6, 9, components)
    return b"\xff\xd8" + before + frame + b"\1\x11\0" * components + b"\xff\xd9"


@pytest.mark.parametrize(
    ("codestream", "transfer_syntax", "precision"),
    [
        (imagecodecs.jpeg8_encode(PICTURE_8), uid.JPEGBaseline8Bit, 8),
        (imagecodecs.jpeg8_encode(PICTURE, bitspersample=12), uid.JPEGExtended12Bit, 12),
        (
            imagecodecs.jpeg8_encode(PICTURE, lossless=True, bitspersample=15),
            uid.JPEGLosslessSV1,
            15,
        ),
        (imagecodecs.jpegls_encode(PICTURE), uid.JPEGLSLossless, 16),
        (imagecodecs.jpeg2k_encode(PICTURE, codecformat="j2k"), uid.JPEG2000, 16),
        (imagecodecs.htj2k_encode(PICTURE), uid.HTJ2K, 16),
        (head(0xC1), uid.JPEGExtended12Bit, 12),
        (head(0xC3, before=b"\xff\xff\xff\xfe\0\4hi"), uid.JPEGLossless, 12),
    ],
)
def test_the_header_of_a_codestream_is_read(
    codestream: bytes, transfer_syntax: str, precision: int
) -> None:
    assert frame_header(transfer_syntax, codestream) == FrameHeader(6, 9, 1, precision)


def test_components_are_counted() -> None:
    assert frame_header(uid.JPEGBaseline8Bit, head(0xC0, components=3)).samples_per_pixel == 3


@pytest.mark.parametrize("sof", [0xC2, 0xC5, 0xC9, 0xCF, 0xF7])
def test_progressive_and_arithmetic_jpeg_are_unsupported(sof: int) -> None:
    with pytest.raises(UnsupportedEncoding):
        jpeg.decode(jpeg_markers.parse(head(sof)))


def test_jpeg_in_a_jpeg_ls_file_is_unsupported() -> None:
    with pytest.raises(UnsupportedEncoding):
        frame_header(uid.JPEGLSLossless, head(0xC3))


@pytest.mark.parametrize(
    "codestream",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8" + b"\xff" * 100 + b"\xff\xd9",
        b"\xff\xd8\xff\xe0\0\0" + b"\xff\xd9",
        b"\xff\xd8\xff\xe0\xff\xff" + b"\xff\xd9",
        b"\xff\xd8\xff\xda\0\2" + b"\xff\xd9",
        b"\xff\xd8\0\0\0\xff\xd9",
        head(0xC0)[:8] + b"\xff\xd9",
        head(0xC0, before=b"\xff" * 20_000),
        head(0xC0, before=b"\xff\xfe\0\2" * 20_000),
        b"GIF89a",
    ],
)
def test_a_broken_jpeg_header_is_undecodable(codestream: bytes) -> None:
    with pytest.raises(UndecodablePixels):
        frame_header(uid.JPEGBaseline8Bit, codestream)


@pytest.mark.parametrize("codestream", [head(0xC0), head(0xC0)[:-2], head(0xC3)])
def test_a_jpeg_header_without_a_scan_is_refused(codestream: bytes) -> None:
    with pytest.raises(UndecodablePixels):
        jpeg.decode(jpeg_markers.parse(codestream))


@pytest.mark.parametrize("codestream", [b"", b"\xff\x4f\xff\x51", b"\xff\x4f\xff\x51" + b"\0" * 9])
def test_a_broken_jpeg_2000_header_is_undecodable(codestream: bytes) -> None:
    with pytest.raises(UndecodablePixels):
        frame_header(uid.JPEG2000, codestream)
