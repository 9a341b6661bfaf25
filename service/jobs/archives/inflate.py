"""Bounded decompression of deflated bytes (RFC 1951)."""

import zlib
from typing import IO

from radiograph.errors import MalformedInput

_CHUNK_BYTES = 256 * 1024


def inflate(file: IO[bytes], stored: int, max_bytes: int) -> bytes:
    """Inflate the next `stored` bytes of a file and return at most `max_bytes` of the result.

    Raises:
        MalformedInput: the bytes are not deflated.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    out = bytearray()
    left = stored
    try:
        while left and len(out) < max_bytes and not inflater.eof:
            chunk = file.read(min(_CHUNK_BYTES, left))
            if not chunk:
                break
            left -= len(chunk)
            out += inflater.decompress(chunk, max_bytes - len(out))
            while inflater.unconsumed_tail and len(out) < max_bytes:
                out += inflater.decompress(inflater.unconsumed_tail, max_bytes - len(out))
    except zlib.error as error:
        raise MalformedInput("a file in the zip file cannot be decompressed") from error
    return bytes(out)
