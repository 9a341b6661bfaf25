"""Attributes of a DICOM data set, decoded from their raw bytes.

pydicom parses the structure of the data set. Values are decoded here, because pydicom quotes a
value that violates its VR (value representation) in a warning. Such values are common in real
files, and the warnings would carry patient data into logs. A value that cannot be decoded counts
as absent.
"""

import logging
import math
import re
import threading
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
from numpy.typing import NDArray
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from radiograph.errors import InputTooLarge

MAX_SEQUENCE_BYTES = 2 * 2**20
"""Length of the longest sequence that is parsed; a VOI LUT takes 128 KiB."""

UNDEFINED_LENGTH = 0xFFFFFFFF
"""Length field of a value that ends with a delimiter."""

_MAX_TEXT_BYTES = 4096
_ESCAPE = b"\x1b"
_MULTI_BYTE = re.compile(rb"\x1b\$[^\x1b]*")
"""Text in a character set of several bytes, from its escape sequence (ISO 2022) to the next."""
_MAX_WORDS = 2**16
_UID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_WARNING_FILTERS = threading.Lock()


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Suppress pydicom's warnings and log records, which quote header values.

    Warning filters belong to the whole process, so only one thread at a time enters the block.
    """
    logger = logging.getLogger("pydicom")
    with _WARNING_FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        disabled, logger.disabled = logger.disabled, True
        try:
            yield
        finally:
            logger.disabled = disabled


class Attributes:
    """Access to the attributes of one data set by DICOM keyword."""

    def __init__(self, dataset: Dataset, *, little_endian: bool) -> None:
        self._dataset = dataset
        self._byte_order = "<" if little_endian else ">"

    def __contains__(self, keyword: str) -> bool:
        return keyword in self._dataset

    def merged(self, others: Iterable["Attributes"]) -> "Attributes":
        """Return these attributes and those that only others have; the first with a value counts.

        Private attributes are left out.
        """
        dataset = Dataset()
        for each in (self, *others):
            tags = list(each._dataset.keys())  # iterating the data set itself would decode it
            for tag in tags:
                if not tag.is_private and not (tag in dataset and dataset.get_item(tag).value):
                    dataset[tag] = each._dataset.get_item(tag, keep_deferred=True)
        return Attributes(dataset, little_endian=self._byte_order == "<")

    def raw(self, keyword: str) -> bytes | memoryview:
        """Return the encoded value; empty if the attribute is absent."""
        value = getattr(self._element(keyword), "value", None)
        return value if isinstance(value, bytes | memoryview) else b""

    def vr(self, keyword: str) -> str | None:
        """Return the encoded VR, or None if the attribute is absent or its VR implicit."""
        return getattr(self._element(keyword), "VR", None)

    def is_encapsulated(self, keyword: str) -> bool:
        """Return whether the value has undefined length."""
        return getattr(self._element(keyword), "length", 0) == UNDEFINED_LENGTH

    def _element(self, keyword: str) -> object:
        tag = tag_for_keyword(keyword)
        return None if tag is None else self._dataset.get_item(tag, keep_deferred=True)

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Return the values of a text element, stripped and in upper case.

        Only the first 4096 bytes are read.
        """
        text = bytes(self.raw(keyword)[:_MAX_TEXT_BYTES]).decode("latin-1").upper()
        return tuple(part.strip(" \0\t\r\n") for part in text.split("\\")) if text else ()

    def text(self, keyword: str) -> str:
        """Return the first value of a text element in upper case; empty if absent."""
        return next(iter(self.texts(keyword)), "")

    def plain_text(self, keyword: str) -> str:
        """Return all values of a text element in upper case and without accents.

        Real files have text in UTF-8 or in an 8-bit character set where none is allowed, such as
        in a code string. Letters outside of the Latin alphabet are kept.
        """
        text = self._any_text(bytes(self.raw(keyword)[:_MAX_TEXT_BYTES]))
        decomposed = unicodedata.normalize("NFKD", text.replace("\\", " ").upper())
        return "".join(letter for letter in decomposed if not unicodedata.combining(letter))

    def _any_text(self, raw: bytes) -> str:
        """Decode UTF-8, or else by Specific Character Set, or else each byte as a letter.

        Text of several bytes behind an escape sequence (ISO 2022) would be ASCII letters without a
        meaning, and is left out if it cannot be decoded.
        """
        if _ESCAPE not in raw:
            with suppress(UnicodeDecodeError):
                return raw.decode("utf-8")
        if any(self.texts("SpecificCharacterSet")):
            with suppress(LookupError, UnicodeError):
                text = self._decoded(raw)
                if "\ufffd" not in text and "\x1b" not in text:
                    return text
        return _MULTI_BYTE.sub(b" ", raw).decode("latin-1")

    def decoded_text(self, keyword: str) -> str | None:
        """Return a whole text element in its character set, without the padding around it.

        None if it is absent, empty, longer than 4096 bytes or not text in that character set.

        Source: DICOM PS3.5 section 6.1.2, Specific Character Set (0008,0005).
        """
        raw = bytes(self.raw(keyword)[: _MAX_TEXT_BYTES + 1])
        if len(raw) > _MAX_TEXT_BYTES:
            return None
        try:
            text = raw.decode("ascii")
        except UnicodeDecodeError:
            text = self._decoded(raw)
        return None if "\ufffd" in text else text.strip(" \0") or None

    def _decoded(self, raw: bytes) -> str:
        """Decode by Specific Character Set; what it does not hold becomes U+FFFD."""
        with quiet_pydicom():
            encodings = convert_encodings(list(self.texts("SpecificCharacterSet")))
            return decode_bytes(raw, encodings, delimiters=set())

    def uid(self, keyword: str) -> str | None:
        """Return a UID, or None if it is absent or not well-formed."""
        return well_formed_uid(self.text(keyword))

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """Return the values of a DS or IS element; NaN for a value that is no finite number."""
        return tuple(_number(text) for text in self.texts(keyword))

    def words(self, keyword: str) -> NDArray[np.uint16]:
        """Return the values of a US, SS or OW element as unsigned words.

        Returns:
            N, uint16 in native byte order; at most the first 65,536 values.
        """
        raw = self.raw(keyword)[: 2 * _MAX_WORDS]
        words = np.frombuffer(raw, dtype=f"{self._byte_order}u2", count=len(raw) // 2)
        return words.astype(np.uint16)

    def word(self, keyword: str) -> int | None:
        """Return the first value of a US, SS or OW element as an unsigned number, or None."""
        words = self.words(keyword)
        return int(words[0]) if words.size else None

    def items(self, keyword: str) -> tuple["Attributes", ...]:
        """Return the items of a sequence; none if it is absent.

        Raises:
            InputTooLarge: the sequence is longer than `MAX_SEQUENCE_BYTES`.
        """
        if len(self.raw(keyword)) > MAX_SEQUENCE_BYTES:
            raise InputTooLarge(f"{keyword} is longer than {MAX_SEQUENCE_BYTES} bytes")
        with quiet_pydicom():
            value = self._dataset.get(keyword)
        if not isinstance(value, Sequence):
            return ()
        little_endian = self._byte_order == "<"
        return tuple(Attributes(item, little_endian=little_endian) for item in value)


def well_formed_uid(text: str) -> str | None:
    """Return a UID as it is, or None if it is not well-formed.

    Source: DICOM PS3.5 section 9.1.
    """
    return text if len(text) <= 64 and _UID.fullmatch(text) else None


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
