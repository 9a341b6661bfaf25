"""Entry point of the readers: the bytes of any supported file become a `Radiograph`.

    bytes + media type --detect, if unknown--> DICOM      --dicom.read---> Radiograph
                                               PNG, JPEG  --raster.read--'

The service and the training code both read their files here.
"""

from radiograph.errors import MediaTypeMismatch, UnsupportedEncoding
from radiograph.image import Radiograph
from radiograph.limits import DEFAULT_LIMITS, Limits
from radiograph.readers import dicom, raster
from radiograph.readers.part10 import looks_like_dicom

DICOM = "application/dicom"
PNG = "image/png"
JPEG = "image/jpeg"
UNKNOWN = "application/octet-stream"
"""Media type of a file whose format is detected from its first bytes."""

MEDIA_TYPES = (DICOM, PNG, JPEG, UNKNOWN)
"""Media types that `read` accepts."""

_SIGNATURES = {PNG: raster.PNG_SIGNATURE, JPEG: raster.JPEG_SIGNATURE}


def read(data: bytes, media_type: str = UNKNOWN, limits: Limits = DEFAULT_LIMITS) -> Radiograph:
    """Read one chest radiograph from a DICOM, PNG or JPEG file.

    Args:
        data: the bytes of the file.
        media_type: one of `MEDIA_TYPES`.
        limits: what the file may cost.

    Raises:
        UnsupportedEncoding: the media type, or a file of unknown type, is none of these.
        MediaTypeMismatch: the bytes are not of the stated media type.
        InputError: the file is not one grayscale radiograph, or exceeds the limits.
    """
    limits.check_bytes(data)
    if media_type == UNKNOWN:
        media_type = _detect(data)
    if media_type == DICOM:
        return dicom.read(data, limits)
    if media_type not in _SIGNATURES:
        raise UnsupportedEncoding(f"a file is one of {', '.join(MEDIA_TYPES)}")
    if not data.startswith(_SIGNATURES[media_type]):
        raise MediaTypeMismatch(f"the bytes are not {media_type}")
    return raster.read(data, limits)


def looks_readable(head: bytes) -> bool:
    """Return whether the first bytes of a file, 132 or more, are those of a supported format."""
    return _detect(head) != UNKNOWN


def _detect(data: bytes) -> str:
    """Return the media type that the first bytes indicate, or `UNKNOWN` if none does."""
    for media_type, signature in _SIGNATURES.items():
        if data.startswith(signature):
            return media_type
    return DICOM if looks_like_dicom(data) else UNKNOWN
