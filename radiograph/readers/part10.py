"""Parser of the DICOM file format: bytes -> transfer syntax and data set, within limits.

    preamble, 128 bytes | "DICM" | file meta information, group 0002 | data set
                                   explicit VR, little endian          in the transfer syntax,
                                                                       inflated if deflated

The file meta information is parsed here and not by pydicom, which inflates a deflated data set
without any limit.

Source: DICOM PS3.10 section 7 (file format), PS3.5 annex A (transfer syntaxes).
"""

import re
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import cast

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from radiograph.errors import InputTooLarge, MalformedInput, MediaTypeMismatch, UnsupportedEncoding
from radiograph.limits import Limits
from radiograph.readers.codecs.transfer_syntaxes import SUPPORTED
from radiograph.readers.header.attributes import UNDEFINED_LENGTH, Attributes, quiet_pydicom
from radiograph.readers.header.functional_groups import with_functional_groups

_PREAMBLE_BYTES = 128
_PREFIX = b"DICM"
_VRS_WITH_LONG_LENGTH = {
    b"OB",
    b"OD",
    b"OF",
    b"OL",
    b"OV",
    b"OW",
    b"SQ",
    b"UC",
    b"UN",
    b"UR",
    b"UT",
}
"""VRs with two reserved bytes and a 32-bit length (PS3.5 section 7.1.2)."""

_SOP_CLASS_UID, _TRANSFER_SYNTAX_UID = 0x0002, 0x0010
"""Elements of group 0002: Media Storage SOP Class UID and Transfer Syntax UID."""

_LARGEST_FIRST_GROUP = 0x0028
"""No data set of an image starts behind the group of its pixels' description."""

_IDENTIFYING_GROUP = 0x0008
"""Group of the first element of every composite object."""

_PIXEL_DATA = 0x7FE0_0010
_SEQUENCE_DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"
"""Sequence Delimitation Item, little-endian as all encapsulated pixel data are."""

_READS_PER_ELEMENT = 3
_VIEWED_BYTES = 2**20
"""Values of at least this size are not copied; no value but pixel data is as large."""
_MAX_META_ELEMENTS = 1000


def looks_like_dicom(data: bytes) -> bool:
    """Return whether the bytes start like a DICOM file or like a data set without a preamble."""
    if data[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] == _PREFIX:
        return True
    if len(data) < 8:
        return False
    # A bare data set starts with the tag of its first element, in group 0002 or 0008.
    little_group, big_group = struct.unpack_from("<H", data)[0], struct.unpack_from(">H", data)[0]
    explicit_vr = re.fullmatch(rb"[A-Z]{2}", data[4:6]) is not None
    implicit_length: int = struct.unpack_from("<I", data, 4)[0]
    if little_group in (0x0002, 0x0008):
        return explicit_vr or implicit_length <= len(data)
    return big_group == 0x0008 and explicit_vr


@dataclass(frozen=True)
class FileMeta:
    """File meta information, as far as it is used.

    Attributes:
        transfer_syntax: UID of a supported transfer syntax.
        sop_class: Media Storage SOP Class UID, or empty; the data set should repeat it.
        assumed: True if the file has no file meta information, and the transfer syntax is the
            default one of DICOM.
    """

    transfer_syntax: str
    sop_class: str
    assumed: bool = False


def parse(data: bytes, limits: Limits) -> tuple[Attributes, FileMeta]:
    """Parse the data set of a file, up to its pixel data, without decoding them.

    Returns:
        attributes: the data set, with the functional groups of an object of one frame.
        meta: the file meta information.

    Raises:
        MalformedInput: the bytes are not DICOM, or broken.
        UnsupportedEncoding: the transfer syntax is missing or not supported.
        InputTooLarge: the file has more bytes, inflated bytes or elements than allowed.
    """
    limits.check_bytes(data)
    if not looks_like_dicom(data):
        raise MediaTypeMismatch("the bytes are not a DICOM file")
    uids, start = _file_meta(data)
    assumed = _is_bare_implicit_vr(data, start)
    transfer_syntax = ImplicitVRLittleEndian if assumed else uids.get(_TRANSFER_SYNTAX_UID)
    if not transfer_syntax:
        raise UnsupportedEncoding("the file names no transfer syntax")
    if transfer_syntax not in SUPPORTED:
        raise UnsupportedEncoding("the file has a transfer syntax that is not supported")
    if transfer_syntax == DeflatedExplicitVRLittleEndian:
        data, start = _inflate(data, start, limits.max_inflated_bytes), 0
    little_endian = transfer_syntax != ExplicitVRBigEndian
    _check_byte_order(data, start, little_endian=little_endian)
    dataset = _data_set(data, start, transfer_syntax, limits.max_elements)
    attributes = with_functional_groups(Attributes(dataset, little_endian=little_endian))
    return attributes, FileMeta(transfer_syntax, uids.get(_SOP_CLASS_UID, ""), assumed)


def _data_set(data: bytes, start: int, transfer_syntax: str, max_elements: int) -> Dataset:
    """Parse the data set that starts at an offset, up to and with its pixel data.

    Whatever follows the pixel data is not looked at: padding, a signature, or bytes that a
    transfer left behind. Encapsulated pixel data may lack the delimiter at their end, as the
    codestream in them tells whether the picture is whole.
    """
    implicit_vr = transfer_syntax == ImplicitVRLittleEndian
    little_endian = transfer_syntax != ExplicitVRBigEndian
    for ending in (b"", _SEQUENCE_DELIMITER):
        source = _BudgetedReader(data + ending if ending else data, start, max_elements)
        until = _UntilPixelData()
        try:
            with quiet_pydicom():
                dataset = read_dataset(source, implicit_vr, little_endian, stop_when=until)
        finally:
            if source.exhausted:
                raise InputTooLarge(f"more than {max_elements} data elements")
        if "PixelData" in dataset or not until.found_encapsulated:
            break
    # pydicom only warns of an element that is cut short, and seeks back to its start.
    if "PixelData" not in dataset and (source.tell() < len(data) or _ends_early(dataset)):
        raise MalformedInput("the data set is cut short")
    return dataset


def _ends_early(dataset: Dataset) -> bool:
    """Return whether the value of the last element is shorter than its length says."""
    if not dataset:
        return False
    last = dataset.get_item(max(dataset.keys()), keep_deferred=True)
    value, length = getattr(last, "value", None), getattr(last, "length", 0)
    return isinstance(value, bytes | memoryview) and len(value) < length != UNDEFINED_LENGTH


class _UntilPixelData:
    """Callback of pydicom that ends the data set behind its first pixel data.

    Attributes:
        found_encapsulated: True once pixel data of undefined length have begun.
    """

    def __init__(self) -> None:
        self.found_encapsulated = False
        self._found = False

    def __call__(self, tag: int, _vr: str | None, length: int) -> bool:
        """Return whether the element is behind the pixel data; called before it is read."""
        if self._found:
            return True
        if tag == _PIXEL_DATA:
            self._found = True
            self.found_encapsulated = length == UNDEFINED_LENGTH
        return False


def _is_bare_implicit_vr(data: bytes, start: int) -> bool:
    """Return whether the bytes are a data set in the default transfer syntax, without file meta.

    Such files come from stores that write a data set as it was received. A data set with explicit
    VR remains refused: it may be compressed, and nothing tells how.

    Source: DICOM PS3.5 section 10.1 (default transfer syntax).
    """
    if start not in (0, _PREAMBLE_BYTES + len(_PREFIX)) or start + 8 > len(data):
        return False
    group, _, length = struct.unpack_from("<HHI", data, start)
    has_vr = re.fullmatch(rb"[A-Z]{2}", data[start + 4 : start + 6]) is not None
    return group == _IDENTIFYING_GROUP and not has_vr and length <= len(data) - start - 8


def _check_byte_order(data: bytes, start: int, *, little_endian: bool) -> None:
    """Refuse a data set whose first tag has the other byte order than the file meta information.

    pydicom would read it as one long element, or as none.
    """
    declared, swapped = ("<H", ">H") if little_endian else (">H", "<H")
    if start + 8 > len(data):
        return
    (group,), (swapped_group,) = (
        struct.unpack_from(order, data, start) for order in (declared, swapped)
    )
    if swapped_group <= _LARGEST_FIRST_GROUP < group:
        written, stated = ("big", "little") if little_endian else ("little", "big")
        raise MalformedInput(
            f"the data set is {written} endian, but the transfer syntax says {stated} endian"
        )


def _file_meta(data: bytes) -> tuple[dict[int, str], int]:
    """Return the UIDs of the file meta information by element, and the offset of the data set."""
    at = _PREAMBLE_BYTES + 4 if data[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] == _PREFIX else 0
    uids: dict[int, str] = {}
    for _ in range(_MAX_META_ELEMENTS):
        if at + 8 > len(data):
            break
        # Tag, VR and a 16-bit length (PS3.5 section 7.1.2).
        group, element, vr, length = struct.unpack_from("<HH2sH", data, at)
        if group != 0x0002:
            break
        at += 8
        if vr in _VRS_WITH_LONG_LENGTH:
            (length,) = struct.unpack_from("<I", data, at)
            at += 4
        if at + length > len(data):
            raise MalformedInput("the file meta information is cut short")
        if element in (_SOP_CLASS_UID, _TRANSFER_SYNTAX_UID):
            uids[element] = data[at : at + length].strip(b" \0").decode("latin-1")
        at += length
    return uids, at


def _inflate(data: bytes, start: int, limit: int) -> bytes:
    """Inflate a raw deflate stream (PS3.5 section A.5), up to the limit."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = stream.decompress(memoryview(data)[start:], limit + 1)
    if len(inflated) > limit:
        raise InputTooLarge(f"the data set inflates to more than {limit} bytes")
    if not stream.eof:
        raise MalformedInput("the deflated data set is cut short")
    return inflated


class _BudgetedReader(BytesIO):
    """A file object that allows a limited number of reads, and does not copy large values.

    pydicom makes at most three reads for an element or item. A few megabytes of empty elements
    would otherwise cost minutes and gigabytes. Past the budget a read returns nothing, as at the
    end of the file, where every loop of pydicom ends at whatever depth.

    pydicom keeps a value of known length as it was read, so that pixel data may be a view of the
    file.
    """

    def __init__(self, data: bytes, start: int, max_elements: int) -> None:
        super().__init__(data)
        self.seek(start)
        self._view = memoryview(data)
        self._remaining_reads = max_elements * _READS_PER_ELEMENT

    @property
    def exhausted(self) -> bool:
        """True if more was read than allowed."""
        return self._remaining_reads < 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as `BytesIO.read` does, a large value as a view.

        Nothing is read once the budget is spent.
        """
        self._remaining_reads -= 1
        if self.exhausted:
            return b""
        if size is None or size < _VIEWED_BYTES:
            return super().read(size)
        start = self.tell()
        value = self._view[start : start + size]
        self.seek(start + len(value))
        return cast(bytes, value)
