"""Codecs: one encoded frame -> samples, after its own header was checked against the data set.

    codestream --frame_header--> rows, columns, samples, precision   (compared, nothing decoded)
               --decode--------> rows x columns, uint8 or uint16 bit patterns

imagecodecs decodes every compressed transfer syntax of CR and DX: libjpeg-turbo (JPEG, 8 and 12
bit, lossless), CharLS (JPEG-LS), OpenJPEG (JPEG 2000 and HTJ2K) and its own RLE. It is called
directly and not as a decoder plugin of pydicom, whose runner tries every plugin it finds,
merges their errors into one RuntimeError and decodes before anyone can look at the frame's
header. HTJ2K goes to OpenJPEG because imagecodecs' other decoder, OpenJPH, fails on files with
1.2.840.10008.1.2.4.203.

Source: ITU-T T.81 section B.2.2 (JPEG), T.87 section C.2.2 (JPEG-LS), T.800 section A.5.1
(JPEG 2000 SIZ), PS3.5 section 8.2 and annex G (RLE).
"""

import struct
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from pydicom import uid

from radiograph.errors import ColourImage, MalformedInput, UnsupportedEncoding
from radiograph.limits import malformed

Samples = NDArray[np.uint8] | NDArray[np.uint16]

NATIVE: frozenset[str] = frozenset(
    {
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    }
)
JPEG: frozenset[str] = frozenset(
    {uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1}
)
JPEG_LS: frozenset[str] = frozenset({uid.JPEGLSLossless, uid.JPEGLSNearLossless})
JPEG_2000: frozenset[str] = frozenset(
    {
        uid.JPEG2000Lossless,
        uid.JPEG2000,
        uid.HTJ2KLossless,
        uid.HTJ2KLosslessRPCL,
        uid.HTJ2K,
    }
)
RLE: frozenset[str] = frozenset({uid.RLELossless})
SUPPORTED: frozenset[str] = NATIVE | JPEG | JPEG_LS | JPEG_2000 | RLE
"""Transfer syntaxes that can be read, where the optional decoders are installed."""

_START_OF_IMAGE, _END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
_SOF_JPEG = {0xC0, 0xC1, 0xC3}  # baseline, extended sequential, lossless; all Huffman coded
_SOF_JPEG_LS = {0xF7}
_SOF_ANY = (set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | _SOF_JPEG_LS
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_START_OF_SCAN, _END_MARKER = 0xDA, 0xD9
_MAX_MARKERS = 10_000
_SOC_SIZ = b"\xff\x4f\xff\x51"


@dataclass(frozen=True)
class FrameHeader:
    """What an encoded frame says of itself."""

    rows: int
    columns: int
    samples_per_pixel: int
    precision: int
    """Bits of one sample."""


def decode(
    transfer_syntax: str, codestream: bytes, rows: int, columns: int, bits_allocated: int
) -> tuple[Samples, int | None]:
    """Decode one grayscale frame.

    Returns:
        samples: rows x columns, uint8 or uint16 bit patterns, whatever their sign.
        precision: the codestream's own bits per sample, or None for RLE, which has none.

    Raises:
        MalformedInput: broken, or not the size the data set says.
        ColourImage: more than one component.
        UnsupportedEncoding: the decoder is not installed, or a process DICOM does not use.
    """
    decoders = _imagecodecs()
    if transfer_syntax in RLE:
        return _decode_rle(decoders, codestream, rows, columns, bits_allocated), None
    if transfer_syntax in JPEG_2000:
        codestream = _bare_j2k(codestream)
    header = frame_header(transfer_syntax, codestream)
    _check(header, rows, columns)
    decoder = {JPEG: "jpeg8_decode", JPEG_LS: "jpegls_decode", JPEG_2000: "jpeg2k_decode"}
    name = next(name for family, name in decoder.items() if transfer_syntax in family)
    with malformed("the pixel data cannot be decoded"):
        samples = getattr(decoders, name)(codestream)
        return _patterns(samples, rows, columns), header.precision


def frame_header(transfer_syntax: str, codestream: bytes) -> FrameHeader:
    """Size and precision from the codestream's own header.

    Raises:
        MalformedInput: there is no such header, or the codestream is cut short.
        UnsupportedEncoding: a JPEG process that DICOM does not use, such as progressive.
    """
    with malformed("the pixel data have no readable header"):
        if transfer_syntax in JPEG_2000:
            return _j2k_header(codestream)
        wanted = _SOF_JPEG_LS if transfer_syntax in JPEG_LS else _SOF_JPEG
        return _jpeg_header(codestream, wanted)


def _check(header: FrameHeader, rows: int, columns: int) -> None:
    if header.samples_per_pixel != 1:
        raise ColourImage(f"{header.samples_per_pixel} components in the pixel data")
    if (header.rows, header.columns) != (rows, columns):
        raise MalformedInput(
            f"the pixel data are {header.rows} x {header.columns}, "
            f"the header says {rows} x {columns}"
        )
    if not 2 <= header.precision <= 16:
        raise MalformedInput(f"{header.precision} bits in a sample of the pixel data")


def _jpeg_header(codestream: bytes, wanted: set[int]) -> FrameHeader:
    """The frame header (SOF), if it is of a wanted type."""
    if not codestream.startswith(_START_OF_IMAGE):
        raise MalformedInput("the pixel data are not JPEG")
    # libjpeg paints what is missing grey and says nothing.
    if _END_OF_IMAGE not in codestream[-64:]:
        raise MalformedInput("the JPEG pixel data are cut short")
    at = _frame_marker(codestream)
    marker = codestream[at + 1]
    if marker not in wanted:
        raise UnsupportedEncoding(f"JPEG frame type {marker:02X} does not fit the transfer syntax")
    precision, rows, columns, components = struct.unpack_from(">BHHB", codestream, at + 4)
    return FrameHeader(rows, columns, components, precision)


def _frame_marker(codestream: bytes) -> int:
    """Where the frame header (SOF) starts."""
    at = len(_START_OF_IMAGE)
    for _ in range(_MAX_MARKERS):
        if codestream[at] != 0xFF:
            break
        marker = codestream[at + 1]
        if marker in _SOF_ANY:
            return at
        if marker in (_START_OF_SCAN, _END_MARKER):
            break
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            at += 2 + int(struct.unpack_from(">H", codestream, at + 2)[0])
    raise MalformedInput("the JPEG pixel data have no frame header")


def _bare_j2k(codestream: bytes) -> bytes:
    """Drop a JP2 wrapper, so that the header that is checked is the one that is decoded."""
    at = codestream.find(_SOC_SIZ)
    if at < 0:
        raise MalformedInput("the pixel data are not JPEG 2000")
    return codestream[at:]


def _j2k_header(codestream: bytes) -> FrameHeader:
    """Image and tile size marker (SIZ)."""
    right, bottom, left, top = struct.unpack_from(">4I", codestream, 8)
    (components,) = struct.unpack_from(">H", codestream, 40)
    precision = (codestream[42] & 0x7F) + 1
    return FrameHeader(bottom - top, right - left, components, precision)


def _decode_rle(
    decoders: ModuleType, codestream: bytes, rows: int, columns: int, bits_allocated: int
) -> Samples:
    """PackBits segments, most significant byte first, into a buffer of the expected size."""
    dtype = np.dtype("u1") if bits_allocated == 8 else np.dtype("<u2")
    # A buffer of fixed size: a segment that would run over it is an error, not more memory.
    buffer = bytearray(rows * columns * dtype.itemsize)
    with malformed("the pixel data cannot be decoded"):
        decoded = decoders.dicomrle_decode(codestream, dtype, out=buffer)
        if len(decoded) != len(buffer):
            raise MalformedInput("the RLE pixel data are cut short")
        return _patterns(np.frombuffer(buffer, dtype).reshape(rows, columns), rows, columns)


def _patterns(samples: NDArray[np.generic], rows: int, columns: int) -> Samples:
    """Samples of a decoder -> bit patterns, if they have the expected shape."""
    if samples.shape != (rows, columns):
        raise MalformedInput(f"the pixel data decoded to {samples.shape}, not {(rows, columns)}")
    if samples.dtype.itemsize == 1:
        return samples.view(np.uint8)
    if samples.dtype.itemsize == 2:
        return samples.view(np.uint16)
    raise MalformedInput(f"the pixel data decoded to {samples.dtype}")


def _imagecodecs() -> ModuleType:
    try:
        import imagecodecs
    except ImportError:
        raise UnsupportedEncoding("decoders of compressed pixel data are not installed") from None
    return imagecodecs
