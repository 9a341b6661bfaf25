"""Content-Type and Content-Encoding of a radiograph upload, checked before the body is read."""

from dataclasses import dataclass

from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from radiograph.errors import UnsupportedEncoding
from radiograph.readers.read import MEDIA_TYPES, UNKNOWN

FORM = "multipart/form-data"


@dataclass(frozen=True)
class ContentType:
    """A checked Content-Type: one of `MEDIA_TYPES`, or a form with its boundary."""

    media_type: str
    boundary: bytes = b""

    @property
    def is_form(self) -> bool:
        """Whether the file is one part of a form."""
        return self.media_type == FORM


def content_type(request: Request) -> ContentType:
    """What the body is said to be, before any of it is read.

    Raises:
        UnsupportedEncoding: a media type that is not read, or a Content-Encoding.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedEncoding("a body is not read with a Content-Encoding; send it as it is")
    value, options = parse_options_header(request.headers.get("content-type", UNKNOWN))
    media_type = value.decode("latin-1").strip().lower()
    if media_type in MEDIA_TYPES:
        return ContentType(media_type)
    if media_type != FORM:
        accepted = ", ".join((*MEDIA_TYPES, FORM))
        raise UnsupportedEncoding(f"the Content-Type of a radiograph is one of {accepted}")
    return ContentType(FORM, options.get(b"boundary", b""))
