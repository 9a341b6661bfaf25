"""Fields of a form: the rules that uploads of one radiograph and of a job share."""

from radiograph.errors import UnusablePhrase
from radiograph.readers.read import MEDIA_TYPES, UNKNOWN
from service.settings import LimitSettings

OTHER_PART = "a form may have parts `file` and parts `phrase`, and has a part of another name"
"""Detail of the problem of a misnamed part, whose name is not repeated."""


def decode_phrase(data: bytes, limits: LimitSettings, count_before: int) -> str:
    """Decode the data of a part `phrase`.

    Args:
        data: bytes of the part.
        limits: largest number of phrases, and their largest size.
        count_before: number of phrases before this one.

    Raises:
        UnusablePhrase: too many phrases, or one that is too long or is not UTF-8.
    """
    if count_before >= limits.max_phrases:
        raise UnusablePhrase(f"a form may have at most {limits.max_phrases} phrases")
    if len(data) > limits.max_phrase_bytes:
        raise UnusablePhrase(f"a phrase may have at most {limits.max_phrase_bytes} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnusablePhrase("a phrase must be UTF-8") from error


def file_media_type(declared: str) -> str:
    """Return the media type of a file in a form, `UNKNOWN` if its bytes must tell.

    Browsers do not know DICOM, so that a media type that the service does not read says nothing.
    """
    return declared if declared in MEDIA_TYPES else UNKNOWN
