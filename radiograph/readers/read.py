"""One entry point for every file format: bytes and a media type become a `Radiograph`."""

from radiograph.errors import MalformedInput, UnsupportedEncoding
from radiograph.image import Radiograph
from radiograph.readers import dicom, raster

DICOM = "application/dicom"


PNG = "image/png"


JPEG = "image/jpeg"


UNKNOWN = "application/octet-stream"


MEDIA_TYPES = (DICOM, PNG, JPEG, UNKNOWN)


_SIGNATURES = {PNG: b"\x89PNG\r\n\x1a\n", JPEG: b"\xff\xd8\xff"}


def read(data: bytes, media_type: str, limits: dicom.Limits) -> Radiograph:
    """Bytes of a known or unknown media type -> Radiograph.

    Raises:
        InputError: the bytes are no radiograph, or not of the type that was said.
    """
    if not data:
        raise MalformedInput("the body is empty")
    actual = _media_type(data) if media_type == UNKNOWN else media_type
    if actual == DICOM:
        return dicom.read(data, limits)
    if actual not in _SIGNATURES:
        raise UnsupportedEncoding(f"a file is one of {', '.join(MEDIA_TYPES)}")
    if not data.startswith(_SIGNATURES[actual]):
        raise MalformedInput(f"the bytes are not {actual}")
    return raster.read(data, limits)


def _media_type(data: bytes) -> str:
    """What the bytes are, from how they begin; `UNKNOWN` when they are none of ours."""
    for media_type, signature in _SIGNATURES.items():
        if data.startswith(signature):
            return media_type
    return DICOM if dicom.sniff(data) else UNKNOWN
