"""Job intake: a body with many radiographs -> a spool file, and where each one lies in it.

Content-Type --check--> chunks (counted, timed) --> disk --map--> pieces, fingerprint
  application/zip           files, folders at will, as a PACS exports a study
  multipart/form-data       parts `file`, each a radiograph or a zip file, and parts `phrase`
  multipart/related         parts application/dicom, as STOW-RS sends a study (PS3.18 10.5)
"""

import asyncio
import hashlib
import mmap
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import IO

from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from radiograph.errors import InputTooLarge, MalformedInput, UnsupportedEncoding, UnusablePhrase
from radiograph.readers.read import DICOM, MEDIA_TYPES, UNKNOWN
from service.api.uploads import multipart
from service.api.uploads.multipart import Span
from service.errors import BodyTimeout, ClientGone
from service.jobs.archives import zip_archive
from service.jobs.archives.safe_filenames import safe_filename
from service.jobs.archives.zip_archive import ArchiveLimits
from service.jobs.job import Contents, Piece
from service.jobs.storage.spool import Incoming
from service.jobs.worker import Threads

ZIP = "application/zip"
FORM = "multipart/form-data"
RELATED = "multipart/related"
_ZIPS = (ZIP, "application/x-zip-compressed", "application/x-zip")
_WRITE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class JobLimits:
    """How much a job may hold, and how slowly it may arrive.

    Attributes:
        chunk_timeout_s: until the next piece of the body.
        timeout_s: for the whole body.
    """

    max_bytes: int
    chunk_timeout_s: float
    timeout_s: float
    max_phrases: int
    max_phrase_bytes: int
    archive: ArchiveLimits


@dataclass(frozen=True)
class JobContentType:
    """A checked Content-Type: `ZIP`, or `FORM` or `RELATED` with the boundary."""

    media_type: str
    boundary: bytes = b""


def content_type(request: Request) -> JobContentType:
    """What the body is said to be, before any of it is read.

    Raises:
        UnsupportedEncoding: a media type that is not read, or a Content-Encoding.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedEncoding("a body is not read with a Content-Encoding; send it as it is")
    value, options = parse_options_header(request.headers.get("content-type"))
    media_type = value.decode("latin-1").strip().lower()
    if media_type in _ZIPS:
        return JobContentType(ZIP)
    boundary = options.get(b"boundary", b"")
    if media_type == FORM:
        return JobContentType(FORM, boundary)
    if media_type == RELATED and options.get(b"type", b"").lower() == DICOM.encode():
        return JobContentType(RELATED, boundary)
    raise UnsupportedEncoding(
        f'the Content-Type of a job is one of {ZIP}, {FORM}, {RELATED}; type="{DICOM}"'
    )


def declared_bytes(request: Request, limits: JobLimits) -> int:
    """What Content-Length says, 0 where it says nothing.

    Raises:
        InputTooLarge: more than the limit.
    """
    declared = request.headers.get("content-length", "")
    size = int(declared[:20]) if declared.isascii() and declared.isdecimal() else 0
    if size > limits.max_bytes:
        raise _too_large(limits)
    return size


async def receive(request: Request, incoming: Incoming, limits: JobLimits, threads: Threads) -> int:
    """Write a body to disk while it arrives.

    Returns:
        How many bytes it had.

    Raises:
        InputTooLarge: more bytes than the limit, whatever Content-Length says.
        BodyTimeout: it did not arrive in time.
        ClientGone: the client stopped in the middle of it.
        StorageFull: the disk is full.
    """
    total, buffer = 0, bytearray()
    try:
        async for chunk in _timed(request.stream(), limits):
            total += len(chunk)
            if total > limits.max_bytes:
                raise _too_large(limits)
            buffer += chunk
            if len(buffer) >= _WRITE_BYTES:
                await threads.run(incoming.write, buffer)
                buffer = bytearray()
    except ClientDisconnect as error:
        raise ClientGone("the client closed the connection") from error
    await threads.run(incoming.write, buffer)
    return total


async def _timed(chunks: AsyncIterator[bytes], limits: JobLimits) -> AsyncIterator[bytes]:
    """The chunks of a body that arrives steadily.

    Raises:
        BodyTimeout: it does not.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + limits.timeout_s
    while True:
        wait_s = min(limits.chunk_timeout_s, end - loop.time())
        try:
            async with asyncio.timeout(wait_s):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise BodyTimeout("the body arrives too slowly, or not at all") from error
        yield chunk


def contents(file: IO[bytes], content: JobContentType, limits: JobLimits) -> tuple[Contents, str]:
    """What a body on disk holds, and a digest of it. Blocks.

    Raises:
        InputError: it is not what it is said to be, or more than the limits allow.
    """
    file.flush()
    size = file.seek(0, 2)
    if not size:
        raise MalformedInput("the body is empty")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
        if content.media_type == ZIP:
            found = zip_archive.read(file, 0, size, limits.archive)
            digest = _digest(body, [(0, size)])
        else:
            spans = _spans(body, content, limits)
            found = _of_parts(file, body, spans, content, limits)
            digest = _digest(body, [(span.start, span.end) for span in spans])
    if not found.pieces:
        raise MalformedInput("the body holds no file that could be a radiograph")
    _check_sum(found.pieces, limits.archive)
    return found, digest


def _check_sum(pieces: Sequence[Piece], limits: ArchiveLimits) -> None:
    """The limits of one zip file hold for several in one form, taken together."""
    if len(pieces) > limits.max_entries:
        raise InputTooLarge(f"a job has at most {limits.max_entries} files")
    if sum(piece.size for piece in pieces) > limits.max_inflated_bytes:
        raise InputTooLarge("the files of the job are too large when unpacked, all together")


def _spans(body: mmap.mmap, content: JobContentType, limits: JobLimits) -> list[Span]:
    found: list[Span] = []
    for span in multipart.spans(body, content.boundary):
        found.append(span)
        if len(found) > limits.archive.max_entries + limits.max_phrases:
            raise InputTooLarge(f"a job has at most {limits.archive.max_entries} files")
    return found


def _of_parts(
    file: IO[bytes],
    body: mmap.mmap,
    spans: Iterable[Span],
    content: JobContentType,
    limits: JobLimits,
) -> Contents:
    """Radiographs and phrases of a form, or radiographs of a DICOM study."""
    pieces: list[Piece] = []
    phrases: list[str] = []
    skipped: Counter[str] = Counter()
    position = 0
    for span in spans:
        if content.media_type == FORM and span.name == "phrase":
            phrases.append(_phrase(body[span.start : span.end], limits, len(phrases)))
            continue
        _check_part(span, content)
        if body[span.start : span.start + 4] in (zip_archive.SIGNATURE, zip_archive.EMPTY):
            inner = zip_archive.read(file, span.start, span.end - span.start, limits.archive)
            pieces += [replace(item, position=item.position + position) for item in inner.pieces]
            position += len(inner.pieces) + sum(inner.skipped.values())
            skipped.update(inner.skipped)
            continue
        position += 1
        pieces.append(_piece(span, position, content))
    return Contents(tuple(pieces), tuple(phrases), dict(skipped))


def _check_part(span: Span, content: JobContentType) -> None:
    if content.media_type == RELATED:
        if span.media_type not in (DICOM, ""):
            raise UnsupportedEncoding(f"the parts of a study are {DICOM}")
    elif span.name != "file":
        raise MalformedInput("a form has parts `file` and parts `phrase`, no others")


def _piece(span: Span, position: int, content: JobContentType) -> Piece:
    size = span.end - span.start
    # Browsers know no DICOM, so a type that is not ours says nothing.
    media_type = span.media_type if span.media_type in MEDIA_TYPES else UNKNOWN
    return Piece(
        position=position,
        start=span.start,
        stored=size,
        size=size,
        deflated=False,
        crc=None,
        media_type=DICOM if content.media_type == RELATED else media_type,
        label=safe_filename(span.filename),
    )


def _phrase(data: bytes, limits: JobLimits, before: int) -> str:
    if before >= limits.max_phrases:
        raise UnusablePhrase(f"a form has at most {limits.max_phrases} phrases")
    if len(data) > limits.max_phrase_bytes:
        raise UnusablePhrase(f"a phrase has at most {limits.max_phrase_bytes} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnusablePhrase("a phrase is not UTF-8") from error


def _digest(body: mmap.mmap, spans: Iterable[tuple[int, int]]) -> str:
    """SHA-256 over what a body holds; the boundary, which each try makes anew, left out."""
    digest = hashlib.sha256()
    with memoryview(body) as view:
        for start, end in spans:
            digest.update((end - start).to_bytes(8, "big"))
            with view[start:end] as part:
                digest.update(part)
    return digest.hexdigest()


def _too_large(limits: JobLimits) -> InputTooLarge:
    return InputTooLarge(f"the body of a job has at most {limits.max_bytes} bytes")
