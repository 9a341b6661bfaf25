"""Part 10: bytes -> transfer syntax + data set, with every cost capped.

    128 bytes + DICM | group 0002, explicit little endian | data set in the transfer syntax
                                                            (inflated first when deflated)

The file meta information is read here and not by pydicom, which inflates a deflated data set
without any limit as soon as it sees one.

Source: PS3.10 section 7, PS3.5 section A.
"""

import re
import struct
import zlib
from io import BytesIO

from pydicom.filereader import read_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from radiograph.errors import InputTooLarge, MalformedInput, UnsupportedEncoding
from radiograph.limits import Limits
from radiograph.readers.attributes import Attributes, quiet_pydicom
from radiograph.readers.codecs import SUPPORTED

_PREAMBLE = 128
_MAGIC = b"DICM"
_LONG_VRS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT"}
_TRANSFER_SYNTAX_UID = (0x0002, 0x0010)
_READS_PER_ELEMENT = 3
_MAX_META_ELEMENTS = 1000


def sniff(data: bytes) -> bool:
    """Whether the bytes look like DICOM: a preamble with DICM, or a bare data set."""
    if data[_PREAMBLE : _PREAMBLE + 4] == _MAGIC:
        return True
    if len(data) < 8:
        return False
    little, big = struct.unpack_from("<H", data)[0], struct.unpack_from(">H", data)[0]
    explicit = re.fullmatch(rb"[A-Z]{2}", data[4:6]) is not None
    implicit_length: int = struct.unpack_from("<I", data, 4)[0]
    if little in (0x0002, 0x0008):
        return explicit or implicit_length <= len(data)
    return big == 0x0008 and explicit


def parse(data: bytes, limits: Limits) -> tuple[Attributes, str]:
    """Read a file's data set without decoding its pixels.

    Returns:
        attributes: the data set.
        transfer_syntax: its UID, one that we can read.

    Raises:
        MalformedInput: not DICOM, or broken.
        UnsupportedEncoding: no transfer syntax, or one that we cannot read.
        InputTooLarge: more bytes, inflated bytes or elements than the limits allow.
    """
    limits.check_bytes(data)
    if not sniff(data):
        raise MalformedInput("the bytes are not a DICOM file")
    transfer_syntax, start = _file_meta(data)
    if transfer_syntax is None:
        raise UnsupportedEncoding("the file names no transfer syntax")
    if transfer_syntax not in SUPPORTED:
        raise UnsupportedEncoding("the file has a transfer syntax that is not supported")
    if transfer_syntax == DeflatedExplicitVRLittleEndian:
        data, start = _inflate(data, start, limits.max_inflated_bytes), 0
    little_endian = transfer_syntax != ExplicitVRBigEndian
    source = _Metered(data, start, limits.max_elements)
    implicit = transfer_syntax == ImplicitVRLittleEndian
    try:
        with quiet_pydicom():
            dataset = read_dataset(source, implicit, little_endian)
    finally:
        if source.exhausted:
            raise InputTooLarge(f"more than {limits.max_elements} data elements")
    # pydicom goes back to the start of an element that has no end, and only warns.
    if "PixelData" not in dataset and source.tell() < len(data):
        raise MalformedInput("the data set is cut short")
    return Attributes(dataset, little_endian=little_endian), transfer_syntax


def _file_meta(data: bytes) -> tuple[str | None, int]:
    """Transfer Syntax UID (0002,0010), and where the data set starts."""
    at = _PREAMBLE + 4 if data[_PREAMBLE : _PREAMBLE + 4] == _MAGIC else 0
    transfer_syntax = None
    for _ in range(_MAX_META_ELEMENTS):
        if at + 8 > len(data):
            break
        group, element, vr, length = struct.unpack_from("<HH2sH", data, at)
        if group != 0x0002:
            break
        at += 8
        if vr in _LONG_VRS:
            (length,) = struct.unpack_from("<I", data, at)
            at += 4
        if at + length > len(data):
            raise MalformedInput("the file meta information is cut short")
        if (group, element) == _TRANSFER_SYNTAX_UID:
            transfer_syntax = data[at : at + length].strip(b" \0").decode("latin-1")
        at += length
    return transfer_syntax or None, at


def _inflate(data: bytes, start: int, limit: int) -> bytes:
    """A raw deflate stream (PS3.5 section A.5), inflated as far as the limit."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = stream.decompress(memoryview(data)[start:], limit + 1)
    if len(inflated) > limit:
        raise InputTooLarge(f"the data set inflates to more than {limit} bytes")
    if not stream.eof:
        raise MalformedInput("the deflated data set is cut short")
    return inflated


class _Metered(BytesIO):
    """Bytes that can be read only so many times.

    pydicom makes at most three reads for an element or item. A few megabytes of empty elements
    would otherwise cost it minutes and gigabytes. Reading past the budget looks like the end of
    the file, which every loop of pydicom's ends at, however deep.
    """

    def __init__(self, data: bytes, start: int, max_elements: int) -> None:
        super().__init__(data)
        self.seek(start)
        self._left = max_elements * _READS_PER_ELEMENT

    @property
    def exhausted(self) -> bool:
        """Whether more was read than allowed."""
        return self._left < 0

    def read(self, size: int | None = -1, /) -> bytes:
        """As `BytesIO.read`; nothing once the budget is spent."""
        self._left -= 1
        return b"" if self.exhausted else super().read(size)
