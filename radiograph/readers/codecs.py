"""Decoders of compressed pixel data: one encoded frame -> stored samples.

    codestream --frame_header--> size, components, precision   compared with the data set before
                                                               anything is decoded
               --decode--------> rows x columns, uint8 or uint16 bit patterns

imagecodecs decodes every compressed transfer syntax of CR and DX: libjpeg-turbo (JPEG of 8 and
12 bits, JPEG lossless), CharLS (JPEG-LS), OpenJPEG (JPEG 2000 and HTJ2K) and its own RLE. It is
called directly and not as a decoder plugin of pydicom, because pydicom's runner tries every
plugin that it finds, merges their errors into one RuntimeError, and decodes before the header of
the frame can be checked. HTJ2K is decoded by OpenJPEG because the other decoder of imagecodecs,
OpenJPH, fails on files with the transfer syntax 1.2.840.10008.1.2.4.203.

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
from radiograph.limits import as_malformed_input

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
"""UIDs of the transfer syntaxes that can be read if the optional decoders are installed."""

_START_OF_IMAGE, _END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
_SOF_JPEG = {0xC0, 0xC1, 0xC3}  # baseline, extended sequential, lossless; all Huffman coded
_SOF_JPEG_LS = {0xF7}
# Markers 0xC0 to 0xCF are frame headers, except DHT (C4), JPG (C8) and DAC (CC).
_SOF_ANY = (set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | _SOF_JPEG_LS
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}  # TEM, RST0 to RST7, SOI
_START_OF_SCAN, _END_MARKER = 0xDA, 0xD9
_MAX_MARKERS = 10_000
_SOC_SIZ = b"\xff\x4f\xff\x51"
"""Start of a JPEG 2000 codestream (SOC), and the marker that must follow it (SIZ)."""


@dataclass(frozen=True)
class FrameHeader:
    """Size, components and precision that an encoded frame declares in its own header."""

    rows: int
    columns: int
    samples_per_pixel: int
    precision: int
    """Number of bits of one sample."""


def decode(
    transfer_syntax: str, codestream: bytes, rows: int, columns: int, bits_allocated: int
) -> tuple[Samples, int | None]:
    """Decode one grayscale frame.

    Args:
        transfer_syntax: the UID of a compressed transfer syntax in `SUPPORTED`.
        codestream: the encoded frame.
        rows, columns: size that the data set declares.
        bits_allocated: 8 or 16; used for RLE only.

    Returns:
        samples: rows x columns, uint8 or uint16 bit patterns of signed or unsigned values.
        precision: bits per sample that the codestream declares, or None for RLE.

    Raises:
        MalformedInput: the codestream is broken, or its size is not that of the data set.
        ColourImage: the codestream has more than one component.
        UnsupportedEncoding: the decoder is not installed, or DICOM does not use the process.
    """
    decoders = _imagecodecs()
    if transfer_syntax in RLE:
        return _decode_rle(decoders, codestream, rows, columns, bits_allocated), None
    if transfer_syntax in JPEG_2000:
        codestream = _bare_j2k(codestream)
    header = frame_header(transfer_syntax, codestream)
    _check_header(header, rows, columns)
    decoder = {JPEG: "jpeg8_decode", JPEG_LS: "jpegls_decode", JPEG_2000: "jpeg2k_decode"}
    name = next(name for family, name in decoder.items() if transfer_syntax in family)
    with as_malformed_input("the pixel data cannot be decoded"):
        samples = getattr(decoders, name)(codestream)
        return _patterns(samples, rows, columns), header.precision


def frame_header(transfer_syntax: str, codestream: bytes) -> FrameHeader:
    """Read size, components and precision from the header of a codestream.

    Raises:
        MalformedInput: the codestream has no readable header or is cut short.
        UnsupportedEncoding: DICOM does not use the JPEG process, such as progressive.
    """
    with as_malformed_input("the pixel data have no readable header"):
        if transfer_syntax in JPEG_2000:
            return _j2k_header(codestream)
        accepted = _SOF_JPEG_LS if transfer_syntax in JPEG_LS else _SOF_JPEG
        return _jpeg_header(codestream, accepted)


def _check_header(header: FrameHeader, rows: int, columns: int) -> None:
    """Compare the header of a codestream with the data set; only one component is accepted."""
    if header.samples_per_pixel != 1:
        raise ColourImage(f"{header.samples_per_pixel} components in the pixel data")
    if (header.rows, header.columns) != (rows, columns):
        raise MalformedInput(
            f"the pixel data are {header.rows} x {header.columns}, "
            f"the header says {rows} x {columns}"
        )
    if not 2 <= header.precision <= 16:
        raise MalformedInput(f"{header.precision} bits in a sample of the pixel data")


def _jpeg_header(codestream: bytes, accepted: set[int]) -> FrameHeader:
    """Read the frame header (SOF) if its marker is an accepted one."""
    if not codestream.startswith(_START_OF_IMAGE):
        raise MalformedInput("the pixel data are not JPEG")
    # libjpeg fills missing rows with gray and raises no error.
    if _END_OF_IMAGE not in codestream[-64:]:
        raise MalformedInput("the JPEG pixel data are cut short")
    at = _frame_marker(codestream)
    marker = codestream[at + 1]
    if marker not in accepted:
        raise UnsupportedEncoding(f"JPEG frame type {marker:02X} does not fit the transfer syntax")
    # After the marker: length (2 bytes), P (1), Y (2), X (2), Nf (1).
    precision, rows, columns, components = struct.unpack_from(">BHHB", codestream, at + 4)
    return FrameHeader(rows, columns, components, precision)


def _frame_marker(codestream: bytes) -> int:
    """Return the offset of the frame header (SOF)."""
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
    """Strip a JP2 container, so that the header that is checked is the one that is decoded."""
    at = codestream.find(_SOC_SIZ)
    if at < 0:
        raise MalformedInput("the pixel data are not JPEG 2000")
    return codestream[at:]


def _j2k_header(codestream: bytes) -> FrameHeader:
    """Read the image and tile size marker segment (SIZ)."""
    # Offsets from SOC: Xsiz, Ysiz, XOsiz, YOsiz at 8, Csiz at 40, Ssiz of component 0 at 42.
    right, bottom, left, top = struct.unpack_from(">4I", codestream, 8)
    (components,) = struct.unpack_from(">H", codestream, 40)
    precision = (codestream[42] & 0x7F) + 1  # the highest bit is the sign
    return FrameHeader(bottom - top, right - left, components, precision)


def _decode_rle(
    decoders: ModuleType, codestream: bytes, rows: int, columns: int, bits_allocated: int
) -> Samples:
    """Decode RLE segments, most significant byte first, into a buffer of the expected size."""
    dtype = np.dtype("u1") if bits_allocated == 8 else np.dtype("<u2")
    # The buffer is of fixed size: a segment that runs over it is an error, not more memory.
    buffer = bytearray(rows * columns * dtype.itemsize)
    with as_malformed_input("the pixel data cannot be decoded"):
        decoded = decoders.dicomrle_decode(codestream, dtype, out=buffer)
        if len(decoded) != len(buffer):
            raise MalformedInput("the RLE pixel data are cut short")
        return _patterns(np.frombuffer(buffer, dtype).reshape(rows, columns), rows, columns)


def _patterns(samples: NDArray[np.generic], rows: int, columns: int) -> Samples:
    """View decoded samples as bit patterns if they have the expected shape."""
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
