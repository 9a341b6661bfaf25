"""RLE lossless, decoded by imagecodecs.

    header   number of segments and their offsets, 16 words of 32 bits
    segment  one byte of every sample, as runs: 0..127 and that many bytes and one more, or
             129..255 and a byte that is repeated 257 minus that many times; 128 is empty

The header does not say where the last segment ends. It ends with the run that completes its part
of the picture, which is looked for only where the decoder finds something behind it.

Source: DICOM PS3.5 annex G.
"""

import struct
from collections.abc import Callable, Sized
from contextlib import suppress
from typing import Any

import numpy as np

from radiograph.errors import UndecodablePixels
from radiograph.limits import as_malformed_input
from radiograph.readers.codecs.frame import (
    DATA_ZEROED,
    MIN_ZEROED_BYTES,
    DecodedFrame,
    bit_patterns,
    imagecodecs,
)

_HEADER = struct.Struct("<16I")
_EMPTY_RUN = 128
_FILLERS = b"\x00\xff"
_LONGEST_PACKED_BYTE = 257 - 16
"""First byte of a run that repeats a byte 16 times; lower ones repeat it more often."""
_MAX_SAMPLED_RUNS = 2**16
_MAX_RUNS = 2**22
"""Runs that are walked, which takes about a second; the decoder itself is not limited."""


def decode(codestream: bytes, rows: int, columns: int, bits_allocated: int) -> DecodedFrame:
    """Decode RLE segments, most significant byte first.

    Every segment has to hold exactly its part of the picture. Filler of 00 and FF may follow
    the last one, however much; anything else is taken for damage, as an altered run leaves it.
    Zeros inside a segment whose encoder packs runs give a warning.

    Raises:
        UndecodablePixels: the segments hold less or more than the picture needs.
        UnsupportedEncoding: the decoder is not installed.
    """
    decoder = imagecodecs().dicomrle_decode
    dtype = np.dtype("u1") if bits_allocated == 8 else np.dtype("<u2")
    warnings = (DATA_ZEROED,) if _is_zeroed(codestream) else ()
    with suppress(Exception):
        return _decode(decoder, codestream, rows, columns, dtype, warnings)
    end = _end_of_picture(codestream, rows * columns)
    if end is not None and not codestream[end:].strip(_FILLERS):
        codestream = codestream[:end]
    with as_malformed_input("the RLE pixel data are damaged or cut short", UndecodablePixels):
        return _decode(decoder, codestream, rows, columns, dtype, warnings)


def _is_zeroed(data: bytes) -> bool:
    """Return whether the segments hold a run of zeros that an encoder would have packed.

    An encoder that packs nothing may write zeros, and so may filler behind the last segment.
    """
    end = len(data.rstrip(b"\0"))
    if data.find(bytes(MIN_ZEROED_BYTES), _HEADER.size, end) < 0:
        return False
    at = _HEADER.size
    for _ in range(_MAX_SAMPLED_RUNS):
        if at >= end:
            break
        if _EMPTY_RUN < data[at] <= _LONGEST_PACKED_BYTE:
            return True
        at += data[at] + 2 if data[at] < _EMPTY_RUN else 1 if data[at] == _EMPTY_RUN else 2
    return False


def _decode(
    decoder: Callable[..., Sized],
    data: bytes,
    rows: int,
    columns: int,
    dtype: np.dtype[Any],
    warnings: tuple[str, ...],
) -> DecodedFrame:
    """Decode into a buffer of fixed size: a segment that runs over it is an error, not memory."""
    buffer = bytearray(rows * columns * dtype.itemsize)
    if len(decoder(data, dtype, out=buffer)) != len(buffer):
        raise UndecodablePixels("the RLE pixel data are cut short")
    samples = np.frombuffer(buffer, dtype).reshape(rows, columns)
    return DecodedFrame(bit_patterns(samples, (rows, columns)), warnings=warnings)


def _end_of_picture(data: bytes, size: int) -> int | None:
    """Return the end of the run that completes the last segment.

    Args:
        data: the codestream.
        size: bytes of the picture in each segment.

    Returns:
        None if no run ends where the segment is complete, or too many would have to be walked.
    """
    if len(data) < _HEADER.size or data[-1] not in _FILLERS:
        return None  # there is no filler, so nobody has to know
    count, *offsets = _HEADER.unpack_from(data)
    at = offsets[count - 1] if 0 < count <= len(offsets) else len(data)
    made = 0
    for _ in range(_MAX_RUNS):
        if made >= size or at >= len(data):
            break
        run = data[at]
        if run < _EMPTY_RUN:
            at, made = at + run + 2, made + run + 1
        elif run > _EMPTY_RUN:
            at, made = at + 2, made + 257 - run
        else:
            at += 1
    return at if made == size and at <= len(data) else None
