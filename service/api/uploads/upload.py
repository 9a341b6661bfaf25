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
from service.api.uploads.least_rate import LeastRate
from service.api.uploads.multipart import Part
from service.dataplane.query import Upload
from service.deadline import Deadline
from service.errors import BodyTimeout, ClientGone
from service.settings import LimitSettings


async def read_body(
    request: Request,
    *,
    max_bytes: int,
    timeout_s: float,
    deadline: Deadline,
    account: Callable[[int], None],
    rate: LeastRate | None = None,
) -> bytes:
    """Read the body of a request into memory and count its bytes as they arrive.

    Args:
        request: request whose body is read.
        max_bytes: largest number of bytes.
        timeout_s: seconds within which the whole body must arrive.
        deadline: deadline of the request.
        account: called with the size of each chunk to account for its memory.
        rate: least rate at which the body must arrive, if there is one.

    Raises:
        Overloaded: raised by `account`.
        InputTooLarge: more bytes than the limit, whatever Content-Length says.
        BodyTimeout: the body did not arrive in time, or not before the deadline, or too slowly.
        ClientGone: the client disconnected before the end of the body.
    """
    text = request.headers.get("content-length", "")
    declared = int(text[:20]) if text.isdecimal() else None
    if declared is not None and declared > max_bytes:
        raise _too_large(max_bytes)
    buffer = BodyBuffer(max_bytes if declared is None else declared)
    loop = asyncio.get_running_loop()
    end = loop.time() + (allowed_s := min(timeout_s, deadline.left()))
    try:
        async with asyncio.timeout_at(end if rate is None else min(end, rate.due)) as timeout:
            async for chunk in request.stream():
                if buffer.size + len(chunk) > max_bytes:
                    raise _too_large(max_bytes)
                account(len(chunk))
                buffer.append(chunk)
                if rate is not None:
                    rate.receive(len(chunk), loop.time())
                    timeout.reschedule(min(end, rate.due))
    except TimeoutError as error:
        slow = ", or arrives too slowly" if rate is not None else ""
        raise BodyTimeout(f"the body did not arrive within {allowed_s:.3g} s{slow}") from error
    except ClientDisconnect as error:
        raise ClientGone("the client closed the connection") from error
    return buffer.take()


class BodyBuffer:
    """The bytes of a body that have arrived, in one block of memory.

    A million tiny chunks cost no more than a large one. The block doubles, up to the size that is
    expected: `BytesIO` alone adds an eighth each time, which moves 10 MB nine times, and a size
    that a client merely claims takes no memory.

    Args:
        expected: number of bytes that the client announces; at most, if it announces none.
    """

    def __init__(self, expected: int) -> None:
        self.capacity = 0
        self._expected = expected
        self._block = io.BytesIO()

    @property
    def size(self) -> int:
        """Number of bytes that have arrived."""
        return self._block.tell()

    def append(self, chunk: bytes) -> None:
        """Add bytes at the end."""
        start, needed = self.size, self.size + len(chunk)
        if needed > self.capacity:
            self.capacity = max(needed, min(2 * needed, self._expected))
            self._block.seek(self.capacity - 1)
            self._block.write(b"\0")
            self._block.seek(start)
        self._block.write(chunk)

    def take(self) -> bytes:
        """Return all bytes, without a copy; nothing can be added any more."""
        self._block.truncate()
        with self._block:
            return self._block.getvalue()


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
