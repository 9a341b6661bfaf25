"""Inflating: deflated bytes as they were, never more than was asked for (RFC 1951)."""

import zlib
from typing import IO

from radiograph.errors import MalformedInput

_CHUNK = 256 * 1024


def inflate(file: IO[bytes], stored: int, most: int) -> bytes:
    """The first `most` bytes of what `stored` bytes of a file inflate to.

    Raises:
        MalformedInput: not deflated.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    out = bytearray()
    left = stored
    try:
        while left and len(out) < most and not inflater.eof:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                break
            left -= len(chunk)
            out += inflater.decompress(chunk, most - len(out))
            while inflater.unconsumed_tail and len(out) < most:
                out += inflater.decompress(inflater.unconsumed_tail, most - len(out))
    except zlib.error as error:
        raise MalformedInput("a file of the zip file cannot be inflated") from error
    return bytes(out)
