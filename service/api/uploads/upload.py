"""Upload of one radiograph: an HTTP body becomes a file with its media type and phrases.

    Content-Type, Content-Encoding --check--> body (limit while it arrives) --> Upload
    multipart/form-data: parsed in a thread, from memory, never to disk

Nothing that a client says about its body is trusted: the limits count the bytes that arrive.
"""

import asyncio
import io
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request

from radiograph.errors import InputTooLarge, MalformedForm
from service.api.uploads import multipart
from service.api.uploads.content_type import ContentType
from service.api.uploads.form import OTHER_PART, decode_phrase, file_media_type
from service.api.uploads.multipart import Part
from service.dataplane.query import Upload
from service.deadline import Deadline
from service.errors import BodyTimeout, ClientGone, DeadlineExceeded
from service.settings import LimitSettings


async def read_body(
    request: Request,
    *,
    max_bytes: int,
    timeout_s: float,
    deadline: Deadline,
    account: Callable[[int], None],
) -> bytes:
    """Read the body of a request into memory and count its bytes as they arrive.

    Args:
        request: request whose body is read.
        max_bytes: largest number of bytes.
        timeout_s: seconds within which the whole body must arrive.
        deadline: deadline of the request.
        account: called with the size of each chunk to account for its memory.

    Raises:
        Overloaded: raised by `account`.
        InputTooLarge: more bytes than the limit, whatever Content-Length says.
        BodyTimeout: the body did not arrive in time.
        DeadlineExceeded: the deadline of the client passed first.
        ClientGone: the client disconnected before the end of the body.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > max_bytes:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(min(timeout_s, deadline.left())):
            return await _collect(request, max_bytes, account)
    except TimeoutError as error:
        if not deadline.left():
            raise DeadlineExceeded("the deadline passed before the body had arrived") from error
        raise BodyTimeout(f"the body did not arrive within {timeout_s:g} s") from error
    except ClientDisconnect as error:
        raise ClientGone("the client closed the connection") from error


async def _collect(request: Request, max_bytes: int, account: Callable[[int], None]) -> bytes:
    """Append all chunks to one buffer, so that a million tiny chunks cost no more than one."""
    buffer = io.BytesIO()
    async for chunk in request.stream():
        if buffer.tell() + len(chunk) > max_bytes:
            raise _too_large(max_bytes)
        account(len(chunk))
        buffer.write(chunk)
    return buffer.getvalue()


def _too_large(max_bytes: int) -> InputTooLarge:
    return InputTooLarge(f"a body may have at most {max_bytes} bytes")


def unpack(content: ContentType, body: bytes, limits: LimitSettings) -> Upload:
    """Return the file in a body. Blocks: call it off the event loop for a form.

    Raises:
        MalformedForm: not a form, or a form with other parts than it may have.
        UnusablePhrase: too many phrases, or one that is too long or is not UTF-8.
    """
    if not content.is_form:
        return Upload(body, content.media_type)
    file: Part | None = None
    phrases: list[str] = []
    for part in multipart.parts(body, content.boundary):
        if part.name == "phrase":
            phrases.append(decode_phrase(part.data, limits, count_before=len(phrases)))
        elif part.name != "file":
            raise MalformedForm(OTHER_PART)
        elif file is not None:
            raise MalformedForm("the form has several parts `file`; one radiograph is answered")
        else:
            file = part
    if file is None:
        raise MalformedForm("the form has no part `file`")
    return Upload(file.data, file_media_type(file.media_type), tuple(phrases))
