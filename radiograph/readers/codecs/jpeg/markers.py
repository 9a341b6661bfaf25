r"""Marker segments of JPEG and JPEG-LS codestreams, and the picture that they make.

    FFD8 | FFE0 length ... | FFC0 length ... | FFDA length ... entropy-coded data | FFD9 | anything
    SOI    APPn, COM, DQT    frame header      start of scan                        EOI

A byte FF of entropy-coded data is never followed by a byte that could make it a marker: JPEG
inserts 00, JPEG-LS a bit 0. So the first marker after a scan, restart markers aside, ends it, and
EOI is found without decoding and without searching in comments, thumbnails or trailing bytes.

Source: ITU-T T.81 sections B.1.1 and B.2, T.87 annex A.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from radiograph.errors import InputTooCostly, UndecodablePixels
from radiograph.limits import as_malformed_input
from radiograph.readers.codecs.frame import FrameHeader

START_OF_IMAGE, END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
_START_OF_SCAN = b"\xff\xda"
DHT, SOS, EOI, DRI = 0xC4, 0xDA, 0xD9, 0xDD
JPEG_LS_FRAME = 0xF7
# Markers 0xC0 to 0xCF are frame headers, except DHT (C4), JPG (C8) and DAC (CC).
FRAME_MARKERS = (set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {JPEG_LS_FRAME}
APPLICATION_OR_COMMENT = {*range(0xE0, 0xF0), 0xFE}

BASELINE, EXTENDED, PROGRESSIVE, LOSSLESS = 0xC0, 0xC1, 0xC2, 0xC3
ARITHMETIC, PROGRESSIVE_ARITHMETIC = 0xC9, 0xCA
ARITHMETIC_PROCESSES = {ARITHMETIC, PROGRESSIVE_ARITHMETIC}
SEQUENTIAL = {BASELINE, EXTENDED, ARITHMETIC}
DICOM_PROCESSES = {BASELINE, EXTENDED, LOSSLESS}
"""Frame markers of the JPEG processes that DICOM uses (PS3.5 section 8.2.1)."""

FILE_PROCESSES = {BASELINE, EXTENDED, PROGRESSIVE, ARITHMETIC, PROGRESSIVE_ARITHMETIC}
"""Frame markers of the JPEG processes that Pillow decodes."""

_NAMES = {
    PROGRESSIVE: "progressive JPEG",
    LOSSLESS: "lossless JPEG",
    ARITHMETIC: "arithmetic-coded JPEG",
    PROGRESSIVE_ARITHMETIC: "arithmetic-coded JPEG",
    0xCB: "arithmetic-coded lossless JPEG",
    0xF7: "JPEG-LS",
}
_MAX_SCANS = 100
"""Each scan may be ten bytes long, and still passes over the whole picture."""

MAX_SCANNED_PIXELS = 640_000_000
"""Most pixels over all scans: ten scans, as encoders write, of the largest image by default."""

_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}  # TEM, RST0 to RST7, SOI
_MAX_SEGMENTS = 10_000
# A marker that is no restart marker. Fill bytes FF before it remain with the scan.
_JPEG_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_JPEG_LS_SCAN_END = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")


@dataclass(frozen=True)
class Segment:
    """One marker segment.

    Attributes:
        marker: second byte of the marker.
        start: offset of the marker's first byte.
        body: offset of the first byte after the marker and the length.
        end: offset after the parameters; for a scan, the offset of its entropy-coded data.
        data_end: offset after the entropy-coded data of a scan; otherwise as `end`.
    """

    marker: int
    start: int
    body: int
    end: int
    data_end: int


def segments(data: bytes) -> Iterator[Segment]:
    """Yield the marker segments after SOI, up to and with EOI.

    The walk ends without EOI where the data end, or where no marker stands where one has to.

    Raises:
        UndecodablePixels: the data do not start with SOI, or hold too many segments.
    """
    if not data.startswith(START_OF_IMAGE):
        raise UndecodablePixels("the pixel data are not JPEG")
    scan_end = _JPEG_SCAN_END
    at = len(START_OF_IMAGE)
    for _ in range(_MAX_SEGMENTS):
        segment = _segment(data, at, scan_end)
        if segment is None:
            return
        yield segment
        if segment.marker == EOI:
            return
        if segment.marker == JPEG_LS_FRAME:
            scan_end = _JPEG_LS_SCAN_END
        at = segment.data_end
    raise UndecodablePixels(f"the JPEG data have more than {_MAX_SEGMENTS} segments")


def _segment(data: bytes, at: int, scan_end: re.Pattern[bytes]) -> Segment | None:
    """Return the segment whose marker, or a fill byte before it, is at an offset."""
    if data[at : at + 1] != b"\xff":
        return None
    start = at
    while data[at + 1 : at + 2] == b"\xff":  # fill bytes
        at += 1
        if at - start > _MAX_SEGMENTS:
            raise UndecodablePixels(f"the JPEG data have more than {_MAX_SEGMENTS} fill bytes")
    if at + 2 > len(data):
        return None
    marker = data[at + 1]
    if marker == EOI or marker in _WITHOUT_LENGTH:
        return Segment(marker, at, at + 2, at + 2, at + 2)
    if at + 4 > len(data):
        return None
    end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    if not at + 4 <= end <= len(data):
        return None
    data_end = end
    if marker == SOS:
        found = scan_end.search(data, end)
        data_end = found.start() if found else len(data)
    return Segment(marker, at, at + 4, end, data_end)


def frame_segment(data: bytes) -> Segment:
    """Return the segment of the frame header (SOF).

    Raises:
        UndecodablePixels: there is none before the first scan.
    """
    for segment in segments(data):
        if segment.marker in FRAME_MARKERS:
            return segment
        if segment.marker in (SOS, EOI):
            break
    raise UndecodablePixels("the JPEG data have no frame header")


def frame_header(data: bytes, segment: Segment) -> FrameHeader:
    """Read a frame header: P (1 byte), Y (2), X (2), Nf (1).

    Raises:
        UndecodablePixels: the segment is too short.
    """
    if segment.end - segment.body < 6:
        raise UndecodablePixels("the JPEG frame header is too short")
    precision, rows, columns, components = struct.unpack_from(">BHHB", data, segment.body)
    return FrameHeader(rows, columns, components, precision)


@dataclass(frozen=True)
class JpegPicture:
    """One JPEG picture, freed of whatever follows it.

    Attributes:
        data: the codestream; it ends with EOI, even where the file lacks it.
        segments: its marker segments.
        frame: the segment of the frame header, one of `segments`.
        header: what the frame header declares.
        complete: False if EOI was missing.
        excess: True if another picture follows.
    """

    data: bytes
    segments: tuple[Segment, ...]
    frame: Segment
    header: FrameHeader
    complete: bool
    excess: bool

    def check_cost(self) -> None:
        """Refuse a picture whose scans would pass over too many pixels; nothing is decoded.

        A scan may be ten bytes long, and yet pass over the whole picture. Decoders skip bytes
        between segments, so all bytes behind the frame header are searched for scans. Coded data
        cannot look like one.

        Raises:
            InputTooCostly: there are too many scans for the size.
        """
        scans = self.data.count(_START_OF_SCAN, self.frame.start)
        if scans * self.header.rows * self.header.columns > MAX_SCANNED_PIXELS:
            raise InputTooCostly(
                f"{scans} scans of {self.header.rows} x {self.header.columns} pixels; "
                f"at most {MAX_SCANNED_PIXELS} pixels are decoded over all scans"
            )

    @property
    def process(self) -> int:
        """Marker of the frame header, which tells the coding process."""
        return self.frame.marker

    @property
    def process_name(self) -> str:
        """Name of the coding process and its precision, for a message."""
        return _NAMES.get(self.process, f"{self.header.precision}-bit JPEG")


def parse(data: bytes) -> JpegPicture:
    """Find the segments and the end of a picture; nothing is decoded.

    Raises:
        UndecodablePixels: the data are not JPEG, or have no frame header before the first scan.
    """
    with as_malformed_input("the JPEG data have no readable header", UndecodablePixels):
        found = tuple(segments(data))
        until_scan = found[: next((i for i, s in enumerate(found) if s.marker == SOS), len(found))]
        frame = next((s for s in until_scan if s.marker in FRAME_MARKERS), None)
        if frame is None:
            raise UndecodablePixels("the JPEG data have no frame header")
        header = frame_header(data, frame)
    if sum(segment.marker == SOS for segment in found) > _MAX_SCANS:
        raise UndecodablePixels(f"the JPEG data have more than {_MAX_SCANS} scans")
    complete = found[-1].marker == EOI
    end = found[-1].start if complete else len(data)
    return JpegPicture(
        data=data[:end] + END_OF_IMAGE,
        segments=found,
        frame=frame,
        header=header,
        complete=complete,
        excess=complete and START_OF_IMAGE + b"\xff" in data[found[-1].end :],
    )
