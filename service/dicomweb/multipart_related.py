"""Bodies of type multipart/related, as DICOMweb sends and receives instances (PS3.18 8.6)."""

import secrets
from collections.abc import Sequence

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

DICOM = "application/dicom"
RELATED = "multipart/related"
_MOST_PARTS = 16
"""More than any answer here has: a server that is asked for one instance may send millions."""


def parts(content_type: str, body: bytes) -> list[bytes]:
    """Return the parts of a body.

    Raises:
        ValueError: the body is not complete, or not what its Content-Type says.
    """
    media_type, options = parse_options_header(content_type)
    if media_type.lower() == DICOM.encode():
        return [body]
    boundary = options.get(b"boundary", b"")
    if media_type.lower() != RELATED.encode() or not boundary:
        raise ValueError("the answer has another media type")
    found: list[bytearray] = []
    ended: list[bool] = []

    def begin() -> None:
        if len(found) == _MOST_PARTS:
            raise ValueError("the answer has more parts than were asked for")
        found.append(bytearray())

    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": begin,
                "on_part_data": lambda data, start, end: found[-1].extend(data[start:end]),
                "on_end": lambda: ended.append(True),
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise ValueError("the answer is no multipart body with its boundary") from None
    if not ended:
        raise ValueError("the answer has no end")
    return [bytes(part) for part in found]


def join(instances: Sequence[bytes]) -> tuple[str, bytes]:
    """Return the Content-Type and the body that holds these instances."""
    boundary = secrets.token_hex(16)
    head = f"--{boundary}\r\nContent-Type: {DICOM}\r\n\r\n".encode()
    body = b"".join(head + instance + b"\r\n" for instance in instances)
    content_type = f'{RELATED}; type="{DICOM}"; boundary={boundary}'
    return content_type, body + f"--{boundary}--\r\n".encode()
