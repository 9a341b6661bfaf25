r"""Multipart bodies, in memory or memory-mapped, as the places of their parts.

    --boundary CRLF headers CRLF CRLF data CRLF --boundary ... CRLF --boundary--

`python_multipart` parses; this module bounds it and turns its callbacks into parts (RFC 2046
section 5.1, RFC 7578). Nothing is written to disk, and no part is copied before it is asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from radiograph.errors import MalformedForm
from service.api.uploads.header_options import parse_options

_MAX_BOUNDARY_BYTES = 70  # RFC 2046 section 5.1.1
_MAX_HEADER_COUNT = 32
_MAX_HEADER_BYTES = 4096
"""Largest size of all headers of one part."""
_READ = (b"content-disposition", b"content-type")
"""Headers of a part that are read, each of which a part may have once."""
_CHUNK_BYTES = 128 * 1024
"""Bytes that are parsed at a time. A caller that stops iterating saves the work for the rest."""


@dataclass(frozen=True)
class Span:
    """The place of one part in its body.

    Attributes:
        name: name of the form field.
        media_type: media type that the part declares, in lower case, or empty.
        filename: file name that the part declares, or empty.
        start: offset of the first byte of the data.
        end: offset behind the last byte of the data.
    """

    name: str
    media_type: str
    filename: str
    start: int
    end: int


@dataclass(frozen=True)
class Part:
    """One part with its data.

    Attributes:
        name: name of the form field.
        media_type: media type that the part declares, in lower case, or empty.
        data: bytes of the part.
    """

    name: str
    media_type: str
    data: bytes


def parts(body: bytes, boundary: bytes) -> Iterator[Part]:
    """Yield the parts of a body in order.

    Args:
        body: the whole body.
        boundary: boundary of its Content-Type.

    Raises:
        MalformedForm: the body is not well-formed, or it is truncated.
    """
    for span in spans(body, boundary):
        yield Part(span.name, span.media_type, body[span.start : span.end])


def spans(body: bytes | mmap, boundary: bytes, chunk_bytes: int = _CHUNK_BYTES) -> Iterator[Span]:
    """Yield the places of the parts of a body in order.

    Args:
        body: the whole body.
        boundary: boundary of its Content-Type.
        chunk_bytes: number of bytes that are parsed at a time.

    Raises:
        MalformedForm: the body is not well-formed, or it is truncated.
    """
    if not 0 < len(boundary) <= _MAX_BOUNDARY_BYTES:
        raise MalformedForm("the multipart boundary is missing or too long")
    reader = _SpanReader(boundary)
    for offset in range(0, len(body), chunk_bytes):
        yield from reader.feed(body[offset : offset + chunk_bytes], offset)
    if not reader.ended:
        raise MalformedForm("the multipart body is truncated, or is not one")


class _SpanReader:
    """Collects the places of parts from the callbacks of the parser.

    Attributes:
        ended: the closing delimiter has been read.
    """

    def __init__(self, boundary: bytes) -> None:
        self.ended = False
        self._found: list[Span] = []
        self._chunk = b""
        self._offset = 0
        self._in_preamble = True
        self._begin_part()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_begin": self._begin_header,
                "on_header_field": self._add_to_field,
                "on_header_value": self._add_to_value,
                "on_header_end": self._end_header,
                "on_part_data": self._add_data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
            max_header_count=_MAX_HEADER_COUNT,
            max_header_size=_MAX_HEADER_BYTES,
        )
        # The parser knows no preamble (RFC 2046), so what precedes the first delimiter of the
        # body is parsed as the data of an additional part, which is dropped.
        self._parser.write(b"--" + boundary + b"\r\n\r\n\r\n")

    def feed(self, chunk: bytes, offset: int) -> list[Span]:
        """Parse the next chunk of the body and return the parts that end in it."""
        self._found = []
        self._chunk, self._offset = chunk, offset
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedForm("the multipart body is not well-formed") from error
        return self._found

    def _begin_part(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._header_bytes = 0
        self._start = self._size = 0

    def _begin_header(self) -> None:
        self._field = self._value = b""

    def _add_to_field(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._field += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._value += data[start:end]

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > _MAX_HEADER_BYTES:
            raise MalformedForm("a part of the multipart body has too large headers")

    def _end_header(self) -> None:
        name = self._field.strip().lower()
        if name in _READ and name in self._headers:
            raise MalformedForm("a part of the multipart body repeats a header")
        self._headers[name] = self._value.strip()

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if not self._size:
            # Bytes that could have begun a delimiter ended the chunk before this one; the parser
            # then hands over a copy of them instead of the chunk.
            first = start if data is self._chunk else start - end
            self._start = self._offset + first
        self._size += end - start

    def _end_part(self) -> None:
        if self._in_preamble:
            self._in_preamble = False
            return
        _, options = parse_options(self._headers.get(b"content-disposition"))
        media_type, _ = parse_options(self._headers.get(b"content-type"))
        self._found.append(
            Span(
                name=options.get(b"name", b"").decode("latin-1"),
                media_type=media_type,
                filename=options.get(b"filename", b"").decode("latin-1"),
                start=self._start,
                end=self._start + self._size,
            )
        )

    def _end(self) -> None:
        self.ended = True
