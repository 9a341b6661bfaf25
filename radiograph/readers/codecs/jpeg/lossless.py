"""Lossless JPEG: decoding that proves, in the same pass, that the scan was whole.

    scan | signature | EOI, and a frame header with one row more
    --decode--> rows x columns, and a row whose first differences are those of the signature

If the decoder has used exactly the data of the scan when the last sample is decoded, the further
row begins with the bits of the signature, after up to seven bits of padding. If data are missing,
or the decoder lost its place, it does not. So the usual file needs no second pass that listens for
damage, which would take as long as the first. No proof is possible with restart intervals.

Source: ITU-T T.81 annex H (lossless mode), section F.1.2.3 (padding).
"""

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from radiograph.readers.codecs.jpeg.markers import (
    DHT,
    DRI,
    END_OF_IMAGE,
    LOSSLESS,
    SOS,
    START_OF_IMAGE,
    JpegPicture,
    Segment,
)

_SIGNATURE = bytes.fromhex(
    "3a5c917d2e64b80713d95a2687c4f06b194e82a57c3d51e69b08742fca5e163d93a84b70e21f6d58"
)
"""Random bits, which no picture repeats; enough for the longest codes of the samples compared."""

_COMPARED = 8
_MAX_ROWS = 65_535
_PADDINGS = ("", *(bit * count for count in range(1, 8) for bit in "10"))


def decode_and_prove(
    decoders: ModuleType, picture: JpegPicture
) -> tuple[NDArray[np.generic], bool | None]:
    """Decode a picture of one component.

    Args:
        decoders: imagecodecs.
        picture: a lossless picture.

    Returns:
        samples: rows x columns, uint8 or uint16.
        whole: True if the decoder used exactly the data of the scan, None if that cannot be told.
    """
    scan = _only_scan(picture)
    header = picture.header
    if scan is None or header.columns < _COMPARED or header.rows >= _MAX_ROWS:
        return decoders.jpeg8_decode(picture.data), None
    data, body = picture.data, picture.frame.body
    longer = b"".join(
        (
            data[: body + 1],  # the frame header starts with the precision, 1 byte, and the rows, 2
            (header.rows + 1).to_bytes(2, "big"),
            data[body + 3 : scan.data_end].rstrip(b"\xff"),  # without fill bytes of the next marker
            _SIGNATURE,
            END_OF_IMAGE,
        )
    )
    decoded = decoders.jpeg8_decode(longer)
    if decoded.shape != (header.rows + 1, header.columns):
        return decoded, None
    predictor = data[scan.end - 3]
    found = _differences(decoded[-2:, :_COMPARED].astype(np.int64), predictor)
    whole = any(np.array_equal(found, one) for one in _expected(decoders, picture))
    return decoded[:-1], whole


def _only_scan(picture: JpegPicture) -> Segment | None:
    """Return the scan if it is the only one, without restart intervals or a point transform."""
    if picture.process != LOSSLESS or picture.header.samples_per_pixel != 1:
        return None
    scans = [segment for segment in picture.segments if segment.marker == SOS]
    restarting = any(
        segment.marker == DRI and any(picture.data[segment.body : segment.end])
        for segment in picture.segments
    )
    if len(scans) != 1 or restarting or scans[0].end - scans[0].body != 6:
        return None
    return scans[0] if picture.data[scans[0].end - 1] & 0x0F == 0 else None


def _differences(rows: NDArray[np.int64], predictor: int) -> NDArray[np.int64]:
    """Return the differences of the second of two rows from its prediction, modulo 2**16.

    Source: ITU-T T.81 table H.1; the first sample is predicted from the one above it.
    """
    left, above, corner = rows[1, :-1], rows[0, 1:], rows[0, :-1]
    predicted = {
        1: left,
        2: above,
        3: corner,
        4: left + above - corner,
        5: left + (above - corner >> 1),
        6: above + (left - corner >> 1),
        7: left + above >> 1,
    }.get(predictor, left)
    first = rows[1, :1] - rows[0, :1]
    return np.asarray(np.concatenate((first, rows[1, 1:] - predicted)) % 2**16)


def _expected(decoders: ModuleType, picture: JpegPicture) -> list[NDArray[np.int64]]:
    """Return the differences that the signature decodes to after each possible padding.

    A picture of one row with the same Huffman tables is decoded for each. In its only row every
    sample is predicted by its left neighbour, and the first by half of the range.
    """
    data = picture.data
    tables = b"".join(data[s.start : s.end] for s in picture.segments if s.marker == DHT)
    frame, scan = picture.frame, next(s for s in picture.segments if s.marker == SOS)
    head = b"".join(
        (
            START_OF_IMAGE,
            tables,
            data[frame.start : frame.body + 1],
            (1).to_bytes(2, "big"),
            _COMPARED.to_bytes(2, "big"),
            data[frame.body + 5 : frame.end],
            data[scan.start : scan.end - 3],
            b"\x01\x00\x00",
        )
    )
    expected = []
    for padding in _PADDINGS:
        bits = padding + "".join(f"{byte:08b}" for byte in _SIGNATURE)
        packed = int(bits.ljust(-(-len(bits) // 8) * 8, "1"), 2).to_bytes(-(-len(bits) // 8), "big")
        row = decoders.jpeg8_decode(head + packed.replace(b"\xff", b"\xff\0") + END_OF_IMAGE)
        start = 2 ** (picture.header.precision - 1)
        expected.append(np.diff(row[0].astype(np.int64), prepend=start) % 2**16)
    return expected
