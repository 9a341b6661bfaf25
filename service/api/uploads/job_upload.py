"""Upload of a job: an HTTP body becomes a spool file and the places of its radiographs.

chunks (counted, timed) --> spool file --memory map--> pieces, phrases, digest
  application/zip        files in any folders, as a PACS exports a study
  multipart/form-data    parts `file`, each a radiograph or a zip file, and parts `phrase`
  multipart/related      parts application/dicom, as STOW-RS sends a study (PS3.18 10.5)
"""

import asyncio
import hashlib
import mmap
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from typing import IO

from starlette.requests import ClientDisconnect, Request

from radiograph.errors import (
    EmptyInput,
    InputTooLarge,
    MalformedForm,
    MalformedInput,
    UnsupportedEncoding,
)
from radiograph.readers.read import DICOM
from service.api.uploads import multipart
from service.api.uploads.content_type import RELATED, ZIP, ContentType
from service.api.uploads.form import OTHER_PART, decode_phrase, file_media_type
from service.api.uploads.least_rate import LeastRate
from service.api.uploads.multipart import Span
from service.errors import BodyTimeout, ClientGone
from service.jobs.archives import zip_archive
from service.jobs.archives.safe_filenames import safe_filename
from service.jobs.archives.tally import Tally
from service.jobs.job import Contents, Piece
from service.jobs.storage.spool import Incoming
from service.jobs.thread_pool import JobThreads
from service.settings import JobSettings, LimitSettings, Settings

_WRITE_BYTES = 1024 * 1024
_TOO_SLOW = "the body arrives too slowly, or not at all"


@dataclass(frozen=True)
class JobUpload:
    """A body that was received completely.

    Attributes:
        contents: radiographs and phrases of the body.
        digest: SHA-256 over the contents, the same for each retry of a client.
    """

    contents: Contents
    digest: str


def declared_bytes(request: Request, limits: JobSettings) -> int:
    """Return the Content-Length of a request, 0 if it has none.

    Raises:
        InputTooLarge: the body would be larger than the limit.
    """
    declared = request.headers.get("content-length", "")
    size = int(declared[:20]) if declared.isascii() and declared.isdecimal() else 0
    if size > limits.max_bytes:
        raise _too_large(limits)
    return size


async def receive(
    request: Request,
    content: ContentType,
    incoming: Incoming,
    settings: Settings,
    threads: JobThreads,
) -> JobUpload:
    """Write a body to disk as it arrives, and read its contents.

    Args:
        request: request whose body is received.
        content: its checked Content-Type.
        incoming: file to write the body to.
        settings: limits of size and time.
        threads: threads for blocking calls.

    Raises:
        InputError: the body is not what its Content-Type says, or exceeds the limits.
        BodyTimeout: the body did not arrive in time.
        ClientGone: the client disconnected before the end of the body.
        StorageFull: the disk is full.
    """
    buffer = bytearray()
    total = 0
    try:
        async for chunk in _timed(request.stream(), settings):
            total += len(chunk)
            if total > settings.jobs.max_bytes:
                raise _too_large(settings.jobs)
            buffer += chunk
            if len(buffer) >= _WRITE_BYTES:
                await threads.run(incoming.write, buffer)
                buffer = bytearray()
    except ClientDisconnect as error:
        raise ClientGone("the client closed the connection") from error
    await threads.run(incoming.write, buffer)
    return await threads.run(read_contents, incoming.file, content, settings)


async def _timed(chunks: AsyncIterator[bytes], settings: Settings) -> AsyncIterator[bytes]:
    """Yield the chunks of a body that arrives steadily.

    Raises:
        BodyTimeout: the body arrives at less than the least rate, or not as a whole in time.
    """
    loop = asyncio.get_running_loop()
    rate = LeastRate(settings.jobs.bytes_per_s, settings.limits.body_timeout_s, loop.time())
    end = loop.time() + settings.jobs.body_timeout_s
    while True:
        due = min(rate.due, end)
        try:
            async with asyncio.timeout_at(due):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise BodyTimeout(_TOO_SLOW) from error
        if loop.time() > due:  # a chunk that was there already is not waited for
            raise BodyTimeout(_TOO_SLOW)
        arrived = loop.time()
        rate.receive(len(chunk), arrived)
        yield chunk
        rate.pause(loop.time() - arrived)


def read_contents(file: IO[bytes], content: ContentType, settings: Settings) -> JobUpload:
    """Return the contents of a body on disk. Blocks.

    Raises:
        InputError: the body is not what its Content-Type says, or exceeds the limits.
    """
    file.flush()
    size = file.seek(0, 2)
    if not size:
        raise EmptyInput("the body is empty")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
        if content.media_type == ZIP:
            contents = zip_archive.read(file, 0, size, Tally(settings.jobs))
            digest = _digest(body, [(0, size)])
        else:
            spans = _spans(body, content, settings)
            contents = _contents_of_parts(file, body, spans, content, settings)
            digest = _digest(body, [(span.start, span.end) for span in spans])
    if not contents.pieces:
        raise MalformedInput("the body has no file that could be a radiograph")
    return JobUpload(contents, digest)


def _spans(body: mmap.mmap, content: ContentType, settings: Settings) -> list[Span]:
    max_items = settings.jobs.max_items
    found: list[Span] = []
    for span in multipart.spans(body, content.boundary):
        found.append(span)
        if len(found) > max_items + settings.limits.max_phrases:
            raise InputTooLarge(f"a job may have at most {max_items} files")
    return found


def _contents_of_parts(
    file: IO[bytes],
    body: mmap.mmap,
    spans: Iterable[Span],
    content: ContentType,
    settings: Settings,
) -> Contents:
    """Return the radiographs and phrases of a form, or the radiographs of a DICOM study."""
    pieces: list[Piece] = []
    phrases: list[str] = []
    skipped: Counter[str] = Counter()
    tally = Tally(settings.jobs)
    for span in spans:
        if content.is_form and span.name == "phrase":
            phrases.append(_phrase(body, span, settings.limits, len(phrases)))
            continue
        _check_part(span, content)
        if _is_zip(body, span):
            before = tally.files
            inner = zip_archive.read(file, span.start, span.end - span.start, tally)
            pieces += [replace(item, position=item.position + before) for item in inner.pieces]
            skipped.update(inner.skipped)
            continue
        tally.add_file(span.end - span.start)
        pieces.append(_piece(span, content, tally))
    return Contents(tuple(pieces), tuple(phrases), dict(skipped))


def _phrase(body: mmap.mmap, span: Span, limits: LimitSettings, count_before: int) -> str:
    # One byte more than allowed is enough to refuse a phrase that is too long.
    end = min(span.end, span.start + limits.max_phrase_bytes + 1)
    return decode_phrase(body[span.start : end], limits, count_before)


def _is_zip(body: mmap.mmap, span: Span) -> bool:
    signature = body[span.start : min(span.start + 4, span.end)]
    return signature in (zip_archive.SIGNATURE, zip_archive.EMPTY)


def _check_part(span: Span, content: ContentType) -> None:
    if content.media_type == RELATED:
        if span.media_type not in (DICOM, ""):
            raise UnsupportedEncoding(f"the parts of a study must be {DICOM}")
    elif span.name != "file":
        raise MalformedForm(OTHER_PART)


def _piece(span: Span, content: ContentType, tally: Tally) -> Piece:
    size = span.end - span.start
    is_study = content.media_type == RELATED
    return Piece(
        position=tally.files,
        start=span.start,
        stored=size,
        size=size,
        deflated=False,
        crc=None,
        media_type=DICOM if is_study else file_media_type(span.media_type),
        label=safe_filename(span.filename, keep_numbers=tally.limits.numeric_labels),
    )


def _digest(body: mmap.mmap, spans: Iterable[tuple[int, int]]) -> str:
    """Return the SHA-256 of the contents without the boundary, which each retry makes anew."""
    digest = hashlib.sha256()
    with memoryview(body) as view:
        for start, end in spans:
            digest.update((end - start).to_bytes(8, "big"))
            with view[start:end] as part:
                digest.update(part)
    return digest.hexdigest()


def _too_large(limits: JobSettings) -> InputTooLarge:
    return InputTooLarge(f"the body of a job may have at most {limits.max_bytes} bytes")
