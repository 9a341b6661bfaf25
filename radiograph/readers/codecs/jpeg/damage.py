"""Damage inside JPEG pictures, as libjpeg notices it.

libjpeg decodes a damaged scan to the end: it fills what is missing with gray and only counts a
warning. imagecodecs and Pillow drop these warnings, so a picture with a gray half would pass
without a word. simplejpeg, a binding of the same libjpeg-turbo, reports the first warning if it
is strict. It decodes 8 bits only; but Huffman decoding, which is where damage shows, does not
depend on the precision. So a picture of more bits is decoded by imagecodecs, and heard by
simplejpeg with 8 bits written into the frame header.

    missing data, invalid codes, restart markers out of order    refused: a part is not there
    missing data at the end of the last arithmetic-coded scan    refused, by a decoding of its own
    data left over after the last sample                         `damaged_pixel_data`: the picture
                                                                 is complete, but may be shifted
    a run of zeros in place of the data                          `damaged_pixel_data`
    filler between the last sample and EOI, bytes after EOI      no fault
    the same, but less than libjpeg reads ahead                  seen if there are more than 8 bits
    EOI missing, but every sample there                          no fault
    scans of a progressive JPEG missing                          `damaged_pixel_data`

Source: ITU-T T.81; the messages of libjpeg-turbo 3 (jerror.h).
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from radiograph.errors import UndecodablePixels
from radiograph.readers.codecs.frame import DATA_ZEROED, MIN_ZEROED_BYTES
from radiograph.readers.codecs.jpeg.markers import (
    APPLICATION_OR_COMMENT,
    ARITHMETIC_PROCESSES,
    BASELINE,
    DHT,
    END_OF_IMAGE,
    EOI,
    EXTENDED,
    LOSSLESS,
    PROGRESSIVE,
    PROGRESSIVE_ARITHMETIC,
    SEQUENTIAL,
    SOS,
    START_OF_IMAGE,
    JpegPicture,
    Segment,
)

_WITHOUT_ZEROS = {BASELINE, EXTENDED, *ARITHMETIC_PROCESSES}
_AC = 0x10
"""Least name of a Huffman table for AC coefficients."""
_ZERO = b"\x00"
"""Symbol of the end of a block (EOB), and of a difference of 0."""
_END_OF_BLOCK_RUNS = range(0x10, 0xF0, 0x10)
"""Symbols EOB1 to EOB14 of a progressive scan; 0xF0 is a run of 16 zero coefficients."""

_MIN_SCAN_PARAMETERS = 6  # Ns, Cs, Td and Ta, Ss, Se, Ah and Al
_MAX_FILLER_BYTES = 64
"""More filler than this is not the padding of an encoder but a file of which a part is zero."""

DATA_LEFT_OVER = (
    "damaged_pixel_data: a scan of the JPEG data holds more data than its part of the picture "
    "needs; the picture may be shifted or wrong from some point on"
)
SCANS_MISSING = (
    "damaged_pixel_data: scans of the progressive JPEG are missing; the picture lacks detail"
)

_TOO_EARLY = "the data of a scan end too early"
_ENOUGH_ZEROS = bytes(16)
"""Zeros behind arithmetic-coded data, which an encoder may leave out and a decoder adds."""

_NOT_ZEROS = bytes.fromhex("3a5c917d2e64b80713d95a2687c4f06b") * 4

_LEFT_OVER = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0x(..)")
_FAULTS = {
    "premature end of data segment": _TOO_EARLY,
    "Premature end of JPEG file": _TOO_EARLY,
    "bad Huffman code": "a scan holds codes that do not exist",
    "bad arithmetic code": "a scan holds codes that do not exist",
    "instead of RST": "restart markers are missing or out of order",
    "Inconsistent progression": "the scans contradict each other",
}
"""Warnings of libjpeg that tell of missing data. Its other warnings do not concern the picture."""


def damage(picture: JpegPicture) -> tuple[str, ...]:
    """Return warnings of damage inside a picture.

    Raises:
        UndecodablePixels: a part of the picture is missing.
    """
    # At an eighth of its size the picture costs little more than its Huffman decoding.
    _, complaint = listen(plain_stream(picture), min_factor=8)
    return judge(complaint, picture)


def uses_last_byte(picture: JpegPicture) -> bool:
    """Return whether the last scan needs its last byte.

    libjpeg reads ahead by up to eight bytes and does not count what it leaves of them. But if the
    last byte is removed from a whole scan, it has to complain.
    """
    stream = plain_stream(picture)
    shortened = stream[: -len(END_OF_IMAGE) - 1] + END_OF_IMAGE
    _, complaint = listen(shortened, min_factor=8)
    return complaint is not None


def listen(stream: bytes, **options: Any) -> tuple[NDArray[np.uint8] | None, str | None]:
    """Return the samples, rows x columns x 1, or else the first complaint of libjpeg."""
    try:
        return simplejpeg.decode_jpeg(stream, "gray", strict=True, **options), None
    except ValueError as error:
        return None, str(error)


def judge(complaint: str | None, picture: JpegPicture) -> tuple[str, ...]:
    """Turn a complaint of libjpeg into an error or a warning, or dismiss it."""
    found = _missing_scans(picture) or zeroed(picture)
    if picture.process in ARITHMETIC_PROCESSES and _reads_beyond_end(picture):
        raise UndecodablePixels(f"the JPEG pixel data are damaged: {_TOO_EARLY}")
    if complaint is None:
        return found
    for words, fault in _FAULTS.items():
        if words in complaint:
            raise UndecodablePixels(f"the JPEG pixel data are damaged: {fault}")
    left_over = _LEFT_OVER.match(complaint)
    if left_over is None or _is_filler(int(left_over[1]), left_over[2], picture):
        return found
    return found or (DATA_LEFT_OVER,)


def _reads_beyond_end(picture: JpegPicture) -> bool:
    """Return whether the decoder needs more data than the last scan of a picture holds.

    Arithmetic decoders read zeros beyond the end, and libjpeg does not complain. But whatever
    stands there in place of zeros changes the picture if a part of its data is missing.
    """
    stream = plain_stream(picture)
    data = stream[: -len(END_OF_IMAGE)].rstrip(b"\xff")  # without fill bytes of the marker
    longer = data + _ENOUGH_ZEROS + _NOT_ZEROS + END_OF_IMAGE
    colours = "gray" if picture.header.samples_per_pixel == 1 else "rgb"
    try:
        one, other = (
            simplejpeg.decode_jpeg(coded, colours, strict=False) for coded in (stream, longer)
        )
    except ValueError:
        return False  # the complaint says why
    return not np.array_equal(one, other)


def zeroed(picture: JpegPicture) -> tuple[str, ...]:
    """Return a warning if a scan holds a run of zeros that no block explains.

    Zeroed data often decode to as many blocks as were there, so libjpeg has nothing to complain
    of. In Huffman-coded data of AC coefficients, a run of zero bits repeats the first symbol of
    the table. Every coefficient would be alike, in one block after the other, unless that symbol
    ends a block (EOB). In a progressive scan not even then: an encoder joins the ends of blocks
    that follow each other to an EOB run. The arithmetic coder writes a zero byte only for hundreds
    of thousands of decisions.

    DC scans of a progressive picture are no evidence, as zeros repeat the brightness of a block.
    In a lossless scan zeros repeat one difference of neighbours, which noise does not, unless that
    difference is 0.
    """
    run = bytes(MIN_ZEROED_BYTES)
    for scan, tables in _scans(picture):
        zeroed = picture.data.find(run, scan.end, scan.data_end) >= 0
        if zeroed and not _may_hold_zeros(picture, scan, tables):
            return (DATA_ZEROED,)
    return ()


def _scans(picture: JpegPicture) -> Iterator[tuple[Segment, dict[int, bytes]]]:
    """Yield each scan, and the symbols of the Huffman tables that are defined by then.

    Tables are named by Tc and Th in one byte: 0x00 and up for DC and differences, 0x10 and up for
    AC.

    Source: ITU-T T.81 section B.2.4.2: Tc and Th (1 byte), 16 counts, the symbols.
    """
    tables: dict[int, bytes] = {}
    for segment in picture.segments:
        at = segment.body
        while segment.marker == DHT and at + 17 < segment.end:
            end = at + 17 + sum(picture.data[at + 1 : at + 17])
            tables[picture.data[at]] = picture.data[at + 17 : end]
            at = end
        if segment.marker == SOS:
            yield segment, dict(tables)


def _may_hold_zeros(picture: JpegPicture, scan: Segment, tables: dict[int, bytes]) -> bool:
    """Return whether an encoder may have written a long run of zeros into a scan."""
    first = {name: symbols[:1] for name, symbols in tables.items()}
    if picture.process in _WITHOUT_ZEROS:
        return any(first[name] == _ZERO for name in first if name >= _AC)
    if picture.process == LOSSLESS:
        return not first or any(first[name] == _ZERO for name in first if name < _AC)
    if picture.process != PROGRESSIVE or picture.data[scan.end - 3] == 0:
        return True  # a DC scan
    name = picture.data[scan.body + 2] & 0x0F | _AC  # the scan has one component
    symbols = tables.get(name, b"")
    joins_ends = any(symbol in _END_OF_BLOCK_RUNS for symbol in symbols)
    return symbols == b"" or (first[name] == _ZERO and not joins_ends)


def _is_filler(left_over_bytes: int, marker: str, picture: JpegPicture) -> bool:
    """Return whether the bytes that are left over before EOI are only filler."""
    return int(marker, 16) == EOI and left_over_bytes <= filler_bytes(picture)


def filler_bytes(picture: JpegPicture) -> int:
    """Return the number of zeros and fill bytes at the end of the last scan, 0 if too many."""
    scan = next(s for s in reversed(picture.segments) if s.marker == SOS)
    tail = picture.data[scan.end : scan.data_end][-2 * _MAX_FILLER_BYTES :]
    filler = len(tail) - len(tail.rstrip(b"\0\xff"))
    return filler if filler <= _MAX_FILLER_BYTES else 0


def _missing_scans(picture: JpegPicture) -> tuple[str, ...]:
    """Check that the scans hold every component and, if progressive, every bit.

    Source: ITU-T T.81 sections B.2.3 (Ns, Cs, Ss, Se, Ah and Al) and G.1.1.

    Raises:
        UndecodablePixels: a component has no scan at all.
    """
    data, body = picture.data, picture.frame.body
    count = picture.header.samples_per_pixel
    # Remaining bits of each of the 64 coefficients; 99 stands for a coefficient not seen yet.
    remaining = {identifier: [99] * 64 for identifier in data[body + 6 : body + 6 + 3 * count : 3]}
    for scan in (s for s in picture.segments if s.marker == SOS):
        parameters = data[scan.body : scan.end]
        if len(parameters) < _MIN_SCAN_PARAMETERS:
            raise UndecodablePixels("the JPEG pixel data are damaged: a scan header is too short")
        first, last, approximation = parameters[-3:]
        if picture.process not in (PROGRESSIVE, PROGRESSIVE_ARITHMETIC):
            first, last, approximation = 0, 63, 0
        for identifier in parameters[1:-3:2]:
            if identifier in remaining:
                span = range(first, min(last, 63) + 1)
                remaining[identifier][first : last + 1] = [approximation & 0x0F] * len(span)
    if any(bits[0] == 99 for bits in remaining.values()):
        raise UndecodablePixels("the JPEG pixel data are damaged: a component has no scan")
    if any(any(bits) for bits in remaining.values()):
        return (SCANS_MISSING,)
    return ()


def plain_stream(picture: JpegPicture) -> bytes:
    """Return the picture as 8-bit JPEG without what libjpeg could complain of needlessly.

    Application and comment segments are dropped, and the spectral parameters of a sequential
    scan, which some encoders fill wrongly and every decoder ignores, are those of the standard.
    """
    data = picture.data
    pieces = [START_OF_IMAGE]
    for segment in picture.segments:
        if segment is picture.frame:
            pieces += [data[segment.start : segment.body], b"\x08"]
            pieces.append(data[segment.body + 1 : segment.end])
        elif segment.marker == SOS:
            sequential = picture.process in SEQUENTIAL
            parameters = b"\x00\x3f\x00" if sequential else data[segment.end - 3 : segment.end]
            pieces += [data[segment.start : segment.end - 3], parameters, data[segment.end :]]
            break
        elif segment.marker not in APPLICATION_OR_COMMENT:
            pieces.append(data[segment.start : segment.end])
    return b"".join(pieces)
