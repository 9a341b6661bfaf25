"""Entry point of the readers: the bytes of any supported file become a `Radiograph`.

    bytes + media type --detect, if unknown--> DICOM      --dicom.read---> Radiograph
                                               PNG, JPEG  --raster.read--'

The service and the training code both read their files here.
"""

import re

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

_OTHER_FORMATS = {
    "a gzip file": re.compile(rb"\x1f\x8b"),
    "a zip file": re.compile(rb"PK[\x03\x05]"),
    "TIFF": re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+"),
    "BMP": re.compile(rb"BM.{4}\0{4}", re.DOTALL),
    "GIF": re.compile(rb"GIF8"),
    "WebP": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "HEIF or AVIF": re.compile(rb".{4}ftyp(hei|hev|mif1|msf1|avi)", re.DOTALL),
    "JPEG 2000": re.compile(rb"\xff\x4f\xff\x51|\0{3}\x0cjP  "),
    "PDF": re.compile(rb"%PDF"),
}
"""First bytes of formats that are not read."""

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
        if media_type == UNKNOWN:
            raise UnsupportedEncoding(f"the file is {_kind(data)}; DICOM, PNG and JPEG are read")
    if media_type == DICOM:
        return dicom.read(data, limits)
    if media_type not in _SIGNATURES:
        raise UnsupportedEncoding(f"a file is one of {', '.join(MEDIA_TYPES)}")
    if not data.startswith(_SIGNATURES[media_type]):
        raise MediaTypeMismatch(f"the bytes are not {media_type}")
    return raster.read(data, limits)


def _kind(data: bytes) -> str:
    """Return the format that the first bytes indicate, for a message."""
    found = (name for name, pattern in _OTHER_FORMATS.items() if pattern.match(data))
    return next(found, "of an unknown format")


def looks_readable(head: bytes) -> bool:
    """Return whether the first bytes of a file, 132 or more, are those of a supported format."""
    return _detect(head) != UNKNOWN


def _detect(data: bytes) -> str:
    """Return the media type that the first bytes indicate, or `UNKNOWN` if none does."""
    for media_type, signature in _SIGNATURES.items():
        if data.startswith(signature):
            return media_type
    return DICOM if looks_like_dicom(data) else UNKNOWN
