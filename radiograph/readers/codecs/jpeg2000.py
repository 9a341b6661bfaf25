r"""JPEG 2000 and HTJ2K, decoded by OpenJPEG.

    FF4F FF51 ... | FF90 000A Isot Psot TPsot TNsot ... data | FF90 ... | FFD9
    SOC  SIZ        SOT: the tile-part is Psot bytes long      SOT        EOC

Psot says where the data of a tile-part end, so nothing that stands between the last tile-part and
EOC, or behind it, matters, and EOC may be missing. OpenJPEG is strict about these bytes and
lenient about missing tile-parts, which it leaves black; so the codestream is put together anew
from its main header and its tile-parts, and refused unless every tile is whole.

JPEG 2000 has no check values: damage inside a code-block changes the picture around it, and no
decoder can tell. Only HTJ2K reports some of it, and a long run of zeros is found here.

HTJ2K is decoded by OpenJPEG because the other decoder of imagecodecs, OpenJPH, fails on files
with the transfer syntax 1.2.840.10008.1.2.4.203.

Source: ITU-T T.800 sections A.4.2 (SOT) and A.5.1 (SIZ), T.814 (HTJ2K).
"""

import struct
from collections import Counter
from dataclasses import dataclass

from radiograph.errors import UndecodablePixels
from radiograph.limits import as_malformed_input
from radiograph.readers.codecs.frame import (
    DATA_ZEROED,
    MIN_ZEROED_BYTES,
    Codestream,
    DecodedFrame,
    FrameHeader,
    bit_patterns,
    imagecodecs,
)

_SOC_SIZ = b"\xff\x4f\xff\x51"
"""Start of a codestream (SOC), and the marker that must follow it (SIZ)."""

_SOT = b"\xff\x90\x00\x0a"
"""Start of a tile-part, and the length of its marker segment."""

_EOC = b"\xff\xd9"
_COD = b"\xff\x52"
_MIN_TILE_PART = 14  # SOT and SOD
_MAX_PACKETS = 2**20
_MAX_TILES = 65_535
_MAX_TILE_PARTS = 100_000


def header(data: bytes) -> FrameHeader:
    """Read the image and tile size marker segment (SIZ).

    Raises:
        UndecodablePixels: there is none.
    """
    with as_malformed_input("the JPEG 2000 data have no readable header", UndecodablePixels):
        start = _start(data)
        # Offsets from SOC: Xsiz, Ysiz, XOsiz, YOsiz at 8, Csiz at 40, Ssiz of component 0 at 42.
        right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
        (components,) = struct.unpack_from(">H", data, start + 40)
        depth = data[start + 42]  # the highest bit is the sign
        return FrameHeader(
            rows=bottom - top,
            columns=right - left,
            samples_per_pixel=components,
            precision=(depth & 0x7F) + 1,
            signed=depth >= 0x80,
        )


def bare(data: bytes) -> Codestream:
    """Put a codestream together from its main header and tile-parts, without a JP2 container.

    Raises:
        UndecodablePixels: a tile or tile-part is missing, or cut short.
    """
    data = data[_start(data) :]
    with as_malformed_input("the JPEG 2000 tile-parts are damaged", UndecodablePixels):
        parts = _tile_parts(data)
        _check_complete(parts, _tile_count(data))
    pieces = [data[: parts[0].start], *(data[part.start : part.end] for part in parts), _EOC]
    return Codestream(b"".join(pieces), _SOC_SIZ in data[parts[-1].end :])


def decode(codestream: Codestream, header: FrameHeader) -> DecodedFrame:
    """Decode one picture.

    Raises:
        UndecodablePixels: the picture cannot be decoded.
        UnsupportedEncoding: the decoder is not installed.
    """
    decoders = imagecodecs()
    with as_malformed_input("the JPEG 2000 pixel data cannot be decoded", UndecodablePixels):
        samples = decoders.jpeg2k_decode(codestream.data)
        warnings = (DATA_ZEROED,) if _is_zeroed(codestream.data) else ()
        return DecodedFrame(bit_patterns(samples, header.shape), header, warnings)


def _is_zeroed(data: bytes) -> bool:
    """Return whether the codestream holds a run of zeros that no encoder writes.

    The arithmetic coder writes none. An empty packet is a zero byte, so as many zeros as there
    are packets are no damage.
    """
    run = bytes(_max_packets(data) + MIN_ZEROED_BYTES)
    return data.find(run, data.find(_SOT)) >= 0


def _max_packets(data: bytes) -> int:
    """Return an upper bound for the number of packets of a tile.

    There is one packet for each quality layer of each precinct of each resolution of each
    component.

    Source: ITU-T T.800 sections A.6.1 (COD) and B.6.
    """
    right, bottom = struct.unpack_from(">2I", data, 8)
    (components,) = struct.unpack_from(">H", data, 40)
    at = data.find(_COD)
    coding_style, _, layers, _, levels = struct.unpack_from(">BBHBB", data, at + 4)
    precincts = 0
    for resolution in range(min(levels, 32) + 1):
        # Exponents of the size of a precinct; the greatest size unless it is stated.
        sizes = data[at + 14 + resolution] if coding_style & 1 else 0xFF
        across = -(-right >> (levels - resolution) + (sizes & 0x0F))  # rounded up
        down = -(-bottom >> (levels - resolution) + (sizes >> 4))
        precincts += across * down
    return int(min(precincts * layers * components, _MAX_PACKETS))


def _start(data: bytes) -> int:
    """Return the offset of the codestream, which a JP2 container may precede."""
    start = data.find(_SOC_SIZ)
    if start < 0:
        raise UndecodablePixels("the pixel data are not JPEG 2000")
    return start


@dataclass(frozen=True)
class _TilePart:
    """One tile-part: its place in the codestream, its tile, and TNsot, 0 if not stated."""

    start: int
    end: int
    tile: int
    parts_of_tile: int


def _tile_parts(data: bytes) -> list[_TilePart]:
    """Follow Psot from the first tile-part to the last, and not into another picture."""
    parts: list[_TilePart] = []
    at, next_picture = _main_header_end(data), 0
    while at >= 0 and len(parts) < _MAX_TILE_PARTS:
        tile, length, _, count = struct.unpack_from(">HIBB", data, at + len(_SOT))
        end = at + length
        if length == 0:  # the last tile-part, which reaches to EOC
            last = data.rfind(_EOC, at)
            end = last if last >= 0 else len(data)
        if length != 0 and length < _MIN_TILE_PART:
            raise UndecodablePixels("a JPEG 2000 tile-part has an impossible length")
        if end > len(data):
            raise UndecodablePixels("the JPEG 2000 pixel data are cut short")
        parts.append(_TilePart(at, end, tile, count))
        if length == 0 or data.startswith(_EOC, end):
            break
        if next_picture < end:
            found = data.find(_SOC_SIZ, end)
            next_picture = found if found >= 0 else len(data)
        at = data.find(_SOT, end, next_picture)
    return parts


def _main_header_end(data: bytes) -> int:
    """Return the offset of the first SOT, behind the marker segments of the main header."""
    at = 2  # after SOC
    while not data.startswith(_SOT, at):
        marker, length = struct.unpack_from(">HH", data, at)
        if marker < 0xFF00 or length < 2:
            raise UndecodablePixels("the main header of the JPEG 2000 data is damaged")
        at += 2 + length
    return at


def _tile_count(data: bytes) -> int:
    """Return the number of tiles that SIZ declares."""
    # Offsets from SOC: Xsiz, Ysiz at 8, XTsiz, YTsiz, XTOsiz, YTOsiz at 24.
    right, bottom = struct.unpack_from(">2I", data, 8)
    width, height, left, top = struct.unpack_from(">4I", data, 24)
    across, down = -(-(right - left) // width), -(-(bottom - top) // height)
    return int(across * down)


def _check_complete(parts: list[_TilePart], tiles: int) -> None:
    """Refuse a codestream that lacks a tile, or a tile-part that another one announces."""
    present = Counter(part.tile for part in parts)
    if not 0 < tiles <= _MAX_TILES or set(present) != set(range(tiles)):
        raise UndecodablePixels("JPEG 2000 tiles are missing or do not belong to the picture")
    for part in parts:
        if part.parts_of_tile > present[part.tile]:
            raise UndecodablePixels("JPEG 2000 tile-parts are missing")
