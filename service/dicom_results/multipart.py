"""Body of several DICOM files as DICOMweb has it: `multipart/related; type="application/dicom"`.

Source: RFC 2387; DICOM PS3.18 section 8.6.1.2.
"""

from collections.abc import Iterable

from service.dicom_results.kinds import MEDIA_TYPE

RELATED = f'multipart/related; type="{MEDIA_TYPE}"'
_PART = f"Content-Type: {MEDIA_TYPE}\r\n\r\n".encode()


def content_type(boundary: str) -> str:
    """Return the header Content-Type of a body with that boundary."""
    return f"{RELATED}; boundary={boundary}"


def join(files: Iterable[bytes], boundary: str) -> bytes:
    """Return a body of one part for each file.

    Args:
        files: at least one DICOM file.
        boundary: text that occurs in no file, such as a random UUID.
    """
    delimiter = f"--{boundary}\r\n".encode()
    parts = [b"".join((delimiter, _PART, data, b"\r\n")) for data in files]
    return b"".join((*parts, f"--{boundary}--\r\n".encode()))
