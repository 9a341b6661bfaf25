"""RLE lossless, decoded by imagecodecs.

Source: DICOM PS3.5 annex G.
"""

from collections.abc import Callable, Iterator, Sized
from contextlib import suppress
from typing import Any

import numpy as np

from radiograph.errors import UndecodablePixels
from radiograph.limits import as_malformed_input
from radiograph.readers.codecs.frame import DecodedFrame, bit_patterns, imagecodecs

_MAX_FILLER_BYTES = 64
_MAX_FINAL_ZEROS = 4


def decode(codestream: bytes, rows: int, columns: int, bits_allocated: int) -> DecodedFrame:
    """Decode RLE segments, most significant byte first.

    Every segment has to hold exactly its part of the picture; filler behind the last one is
    removed if decoding fails.

    Raises:
        UndecodablePixels: the segments hold less or more than the picture needs.
        UnsupportedEncoding: the decoder is not installed.
    """
    decoder = imagecodecs().dicomrle_decode
    dtype = np.dtype("u1") if bits_allocated == 8 else np.dtype("<u2")
    with suppress(Exception):
        return _decode(decoder, codestream, rows, columns, dtype)
    for data in _without_filler(codestream):
        with suppress(Exception):
            return _decode(decoder, data, rows, columns, dtype)
    with as_malformed_input("the RLE pixel data are damaged or cut short", UndecodablePixels):
        return _decode(decoder, codestream, rows, columns, dtype)


def _decode(
    decoder: Callable[..., Sized], data: bytes, rows: int, columns: int, dtype: np.dtype[Any]
) -> DecodedFrame:
    """Decode into a buffer of fixed size: a segment that runs over it is an error, not memory."""
    buffer = bytearray(rows * columns * dtype.itemsize)
    if len(decoder(data, dtype, out=buffer)) != len(buffer):
        raise UndecodablePixels("the RLE pixel data are cut short")
    samples = np.frombuffer(buffer, dtype).reshape(rows, columns)
    return DecodedFrame(bit_patterns(samples, (rows, columns)))


def _without_filler(data: bytes) -> Iterator[bytes]:
    """Yield a codestream with less zeros at its end; a few of them may belong to the data."""
    core = data.rstrip(b"\0")
    filler = len(data) - len(core)
    if filler <= _MAX_FILLER_BYTES:
        for kept in range(min(filler, _MAX_FINAL_ZEROS)):
            yield core + bytes(kept)
