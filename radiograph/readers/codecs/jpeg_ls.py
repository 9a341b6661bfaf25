"""JPEG-LS, decoded by CharLS.

CharLS reports damage itself: it requires that the last sample ends where EOI stands, and an
adaptive code that has lost its place does not end there. For the same reason it refuses sound
files with a byte of filler before EOI, so filler is removed if decoding fails.

Source: ITU-T T.87 annexes A and C.
"""

from collections.abc import Iterator
from contextlib import suppress

from radiograph.errors import UndecodablePixels, UnsupportedEncoding
from radiograph.limits import as_malformed_input
from radiograph.readers.codecs.frame import (
    Codestream,
    DecodedFrame,
    FrameHeader,
    bit_patterns,
    imagecodecs,
)
from radiograph.readers.codecs.jpeg.markers import (
    END_OF_IMAGE,
    EOI,
    JPEG_LS_FRAME,
    SOS,
    START_OF_IMAGE,
    frame_header,
    frame_segment,
    segments,
)

_MAX_FILLER_BYTES = 64


def header(data: bytes) -> FrameHeader:
    """Read the frame header.

    Raises:
        UndecodablePixels: the data are not JPEG-LS.
        UnsupportedEncoding: the data are JPEG of another kind.
    """
    with as_malformed_input("the JPEG-LS data have no readable header", UndecodablePixels):
        frame = frame_segment(data)
        if frame.marker != JPEG_LS_FRAME:
            raise UnsupportedEncoding("JPEG that is not JPEG-LS does not fit the transfer syntax")
        return frame_header(data, frame)


def bare(data: bytes) -> Codestream:
    """Cut a codestream where its picture ends, and complete it with EOI.

    Raises:
        UndecodablePixels: there is no scan.
    """
    end, excess = None, False
    for segment in segments(data):
        if segment.marker == SOS:
            end = segment.data_end
        elif segment.marker == EOI:
            excess = START_OF_IMAGE + b"\xff" in data[segment.end :]
    if end is None:
        raise UndecodablePixels("the JPEG-LS pixel data have no scan")
    # Entropy-coded data never end with FF, so a last FF is a fill byte of the marker.
    return Codestream(data[:end].rstrip(b"\xff") + END_OF_IMAGE, excess)


def decode(codestream: Codestream, header: FrameHeader) -> DecodedFrame:
    """Decode one picture.

    Raises:
        UndecodablePixels: the data are damaged or cut short.
        UnsupportedEncoding: the decoder is not installed.
    """
    decoder = imagecodecs().jpegls_decode
    for data in _without_filler(codestream.data):
        with suppress(Exception):  # the codestream as it is decides what is wrong
            return DecodedFrame(bit_patterns(decoder(data), header.shape), header)
    with as_malformed_input("the JPEG-LS pixel data are damaged or cut short", UndecodablePixels):
        return DecodedFrame(bit_patterns(decoder(codestream.data), header.shape), header)


def _without_filler(data: bytes) -> Iterator[bytes]:
    """Yield a codestream with zeros before EOI without them; the first may belong to the data."""
    body = data[: -len(END_OF_IMAGE)]
    core = body.rstrip(b"\0")
    if 0 < len(body) - len(core) <= _MAX_FILLER_BYTES:
        yield core + END_OF_IMAGE
        yield core + b"\0" + END_OF_IMAGE
