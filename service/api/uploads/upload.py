"""Intake: an HTTP request's headers and body -> bytes, media type and phrases.

    Content-Type, Content-Encoding --check--> body (limit while streaming) --> Upload
    multipart/form-data: parsed in a worker thread, from memory, never to disk

Nothing that a client says of its body is believed: the limit counts what arrives.
"""

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from radiograph.errors import InputTooLarge, MalformedInput, UnusablePhrase
from radiograph.readers.read import MEDIA_TYPES, UNKNOWN
from service.api.uploads import multipart
from service.api.uploads.content_type import ContentType
from service.api.uploads.multipart import Part
from service.dataplane.query import Upload
from service.deadline import Deadline
from service.errors import BodyTimeout, ClientGone, DeadlineExceeded


@dataclass(frozen=True)
class BodyLimits:
    """How much of a body is read, and for how long."""

    max_bytes: int
    timeout_s: float
    max_phrases: int
    max_phrase_bytes: int


async def read_body(
    request: Request, limits: BodyLimits, deadline: Deadline, take: Callable[[int], None]
) -> bytes:
    """The body, counted while it arrives.

    Args:
        request: whose body.
        limits: how much of it, and for how long.
        deadline: the request's own.
        take: accounts for the memory of each chunk.

    Raises:
        Overloaded: by `take`.
        InputTooLarge: more bytes than the limit, whatever Content-Length says.
        BodyTimeout: it did not arrive in time.
        DeadlineExceeded: the client's own deadline came first.
        ClientGone: the client stopped in the middle of it.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limits.max_bytes:
        raise _too_large(limits)
    try:
        async with asyncio.timeout(min(limits.timeout_s, deadline.left())):
            return await _collect(request, limits, take)
    except TimeoutError as error:
        if not deadline.left():
            raise DeadlineExceeded("the deadline passed before the body had arrived") from error
        raise BodyTimeout(f"the body did not arrive in {limits.timeout_s:g} s") from error
    except ClientDisconnect as error:
        raise ClientGone("the client closed the connection") from error


async def _collect(request: Request, limits: BodyLimits, take: Callable[[int], None]) -> bytes:
    """One growing buffer, so that a million tiny chunks cost no more than one large one."""
    buffer = io.BytesIO()
    async for chunk in request.stream():
        if buffer.tell() + len(chunk) > limits.max_bytes:
            raise _too_large(limits)
        take(len(chunk))
        buffer.write(chunk)
    return buffer.getvalue()


def _too_large(limits: BodyLimits) -> InputTooLarge:
    return InputTooLarge(f"a body has at most {limits.max_bytes} bytes")


def unpack(content: ContentType, body: bytes, limits: BodyLimits) -> Upload:
    """A body that was read as a whole -> the file in it. Blocks: call it off the event loop.

    Raises:
        MalformedInput: not a form, or a form with other parts than it may have.
        UnusablePhrase: more or longer phrases than the limits allow, or not UTF-8.
    """
    if not content.is_form:
        return Upload(body, content.media_type)
    file: Part | None = None
    phrases: list[str] = []
    for part in multipart.parts(body, content.boundary):
        if part.name == "file" and file is None:
            file = part
        elif part.name == "phrase":
            phrases.append(_phrase(part.data, limits, before=len(phrases)))
        else:
            raise MalformedInput("a form has one part `file` and parts `phrase`, no others")
    if file is None:
        raise MalformedInput("the form has no part `file`")
    # Browsers know no DICOM, so a type that is not ours says nothing.
    media_type = file.media_type if file.media_type in MEDIA_TYPES else UNKNOWN
    return Upload(file.data, media_type, tuple(phrases))


def _phrase(data: bytes, limits: BodyLimits, before: int) -> str:
    if before >= limits.max_phrases:
        raise UnusablePhrase(f"a form has at most {limits.max_phrases} phrases")
    if len(data) > limits.max_phrase_bytes:
        raise UnusablePhrase(f"a phrase has at most {limits.max_phrase_bytes} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnusablePhrase("a phrase is not UTF-8") from error
