"""Content-Type and Content-Encoding of an upload, checked before any of the body is read."""

from dataclasses import dataclass

from starlette.requests import Request

from radiograph.errors import UnsupportedEncoding
from radiograph.readers.read import DICOM, JPEG, MEDIA_TYPES, PNG, UNKNOWN
from service.api.http.header_fields import listed, single
from service.api.uploads.header_options import parse_options

FORM = "multipart/form-data"
RELATED = "multipart/related"
ZIP = "application/zip"
REFERENCES = "application/json"
_IMAGE_ALIASES = {"image/jpg": JPEG, "image/pjpeg": JPEG, "image/x-png": PNG}
"""Media types that are not registered, but sent by some clients."""

_ZIP_ALIASES = (ZIP, "application/x-zip-compressed", "application/x-zip")


@dataclass(frozen=True)
class ContentType:
    """A media type that the service reads, with the boundary of a multipart body."""

    media_type: str
    boundary: bytes = b""

    @property
    def is_form(self) -> bool:
        """True if the files are parts of a form."""
        return self.media_type == FORM

    @property
    def holds_phrases(self) -> bool:
        """True if phrases may come with the body."""
        return self.media_type in (FORM, REFERENCES)


def radiograph_content_type(request: Request) -> ContentType:
    """Return the media type of a body that holds one radiograph: a file, or a form with a file.

    Raises:
        UnsupportedEncoding: another media type, or a Content-Encoding.
    """
    media_type, options = _parse(request, default=UNKNOWN)
    media_type = _IMAGE_ALIASES.get(media_type, media_type)
    if media_type in MEDIA_TYPES:
        return ContentType(media_type)
    if media_type != FORM:
        accepted = ", ".join((*MEDIA_TYPES, FORM))
        raise UnsupportedEncoding(f"the Content-Type of a radiograph must be one of {accepted}")
    return ContentType(FORM, options.get(b"boundary", b""))


def job_content_type(request: Request) -> ContentType:
    """Return the media type of the body of a job: a zip file, a form, a study, or references.

    Raises:
        UnsupportedEncoding: another media type, or a Content-Encoding.
    """
    media_type, options = _parse(request, default=None)
    if media_type in _ZIP_ALIASES:
        return ContentType(ZIP)
    boundary = options.get(b"boundary", b"")
    if media_type == FORM:
        return ContentType(FORM, boundary)
    # PS3.18 section 10.5: a study is multipart/related with parts of one DICOM media type.
    if media_type == RELATED and options.get(b"type", b"").lower() == DICOM.encode():
        return ContentType(RELATED, boundary)
    if media_type == REFERENCES:
        return ContentType(REFERENCES)
    raise UnsupportedEncoding(
        f"the Content-Type of a job must be one of {ZIP}, {FORM}, {REFERENCES}, "
        f'{RELATED}; type="{DICOM}"'
    )


def _parse(request: Request, default: str | None) -> tuple[str, dict[bytes, bytes]]:
    """Return the media type of a body, in lower case, and its parameters."""
    codings = (listed(request, "content-encoding") or "identity").split(",")
    if any(coding.strip().lower() != "identity" for coding in codings):
        raise UnsupportedEncoding("Content-Encoding is not supported; send the body uncompressed")
    declared = single(request, "content-type")
    return parse_options(default if declared is None else declared)
