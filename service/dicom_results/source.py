"""Header of the radiograph that a result belongs to: what is copied, and what is referenced.

Patient and study are copied as they are, over-long identifiers included, because an archive files
an object by them. Only values that no object may hold are left out or rewritten:

    date or time in the form of ACR-NEMA (2024.01.31, 10:30:00)   rewritten
    other invalid date, time, age, size or weight                 empty, or left out if optional
    sex other than M, F and O                                     empty

Values are decoded here and not by pydicom, whose warnings quote them.
"""

import hashlib
import math
import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom import uid

from radiograph.limits import DEFAULT_LIMITS, Limits, as_malformed_input
from radiograph.readers import part10
from radiograph.readers.display.voi import lut_entries
from radiograph.readers.header.attributes import Attributes, quiet_pydicom
from service.dicom_results import character_sets
from service.errors import NoDicomObject

_NAMES = ("PatientName", "ReferringPhysicianName")
_TEXTS = ("PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyID", "StudyDescription")
_REQUIRED = {
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
}
"""Attributes of type 2, which are written even if they are empty."""
_DATE = re.compile(r"(\d{4})\.?(0[1-9]|1[0-2])\.?(0[1-9]|[12]\d|3[01])")
_TIME = re.compile(r"([01]\d|2[0-3])(?::?([0-5]\d)(?::?([0-5]\d|60)(\.\d{1,6})?)?)?")
_AGE = re.compile(r"\d{3}[DWMY]")
_OFFSET = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")
_WHITE = 65535
_MAX_BYTES = 4096
"""Longest value that is copied, into every object."""
_MOMENTS = ("Acquisition", "Content", "Series", "Study")


@dataclass(frozen=True)
class Moment:
    """Local date and time of the radiograph.

    Attributes:
        date: DA value, never empty.
        time: TM value, never empty.
        offset: Timezone Offset From UTC (0008,0201), or empty.
    """

    date: str
    time: str
    offset: str


UNDATED = Moment("19000101", "000000", "")
"""Moment of a radiograph without any valid date."""


@dataclass(frozen=True)
class Lut:
    """A lookup table of the display.

    Attributes:
        first: first input value that is mapped, as an unsigned word.
        entries: words of 16 bits, little-endian.
    """

    first: int
    entries: bytes


@dataclass(frozen=True)
class SourceHeader:
    """Header of one radiograph.

    Attributes:
        sop_class_uid, sop_instance_uid, series_instance_uid, study_instance_uid: as stated.
        copied: attributes of patient and study by keyword, decoded; empty if required and unknown.
        character_set: values of Specific Character Set.
        moment: when the radiograph was taken.
        frame_of_reference_uid: as stated, or None.
        patient_orientation: directions as stated, empty if not valid.
        rescale, window: (slope, intercept) and (center, width) of the display, or None.
        window_function: VOI LUT Function (0028,1056) other than LINEAR, or empty.
        voi_lut: table of the display, or None; it goes before the window. That of a radiograph
            with a Modality LUT is one of stored values, which it maps through both.
        digest: SHA-256 of everything above.
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    copied: dict[str, str] = field(repr=False)
    character_set: tuple[str, ...]
    moment: Moment
    frame_of_reference_uid: str | None = None
    patient_orientation: tuple[str, ...] = ()
    rescale: tuple[float, float] | None = None
    window: tuple[float, float] | None = None
    window_function: str = ""
    voi_lut: Lut | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of all that is copied."""
        return hashlib.sha256(repr(self).encode() + repr(self.copied).encode()).hexdigest()


def read(data: bytes, limits: Limits = DEFAULT_LIMITS) -> SourceHeader:
    """Read the header of a file that was analysed.

    Raises:
        NoDicomObject: the file is not DICOM, or names no study, series or instance to refer to.
        MalformedInput: the file is broken.
    """
    if not part10.looks_like_dicom(data):
        raise NoDicomObject(
            "DICOM objects are made for DICOM files only; PNG and JPEG have no study"
        )
    with as_malformed_input("the file cannot be read as DICOM"):
        header, meta = part10.parse(data, limits)
        source = SourceHeader(
            sop_class_uid=_uid(header, "SOPClassUID")
            or meta.sop_class
            or uid.ComputedRadiographyImageStorage,
            sop_instance_uid=_uid(header, "SOPInstanceUID"),
            series_instance_uid=_uid(header, "SeriesInstanceUID"),
            study_instance_uid=_uid(header, "StudyInstanceUID"),
            copied=_copied(header),
            character_set=header.texts("SpecificCharacterSet"),
            moment=_moment(header),
            frame_of_reference_uid=header.uid("FrameOfReferenceUID"),
            patient_orientation=_patient_orientation(header),
            rescale=_rescale(header),
            window=_window(header),
            window_function=_window_function(header),
            voi_lut=_display_lut(header),
        )
    if not (source.study_instance_uid and source.series_instance_uid and source.sop_instance_uid):
        raise NoDicomObject("the file names no study, series or instance to refer to")
    return source


def _window_function(header: Attributes) -> str:
    function = header.text("VOILUTFunction")
    return function if function in {"LINEAR_EXACT", "SIGMOID"} else ""


def _display_lut(header: Attributes) -> Lut | None:
    """Return the VOI LUT, through the Modality LUT if there is one, with entries of 16 bits.

    Presentation states allow 8 and 16 bits only, while the tables of files have 10 or 12.
    """
    modality, voi = _table(header, "ModalityLUTSequence"), _table(header, "VOILUTSequence")
    if modality is None and voi is None:
        return None
    first, entries = modality or voi or (0, np.zeros(1, dtype=np.uint16))
    if modality is not None and voi is not None:
        voi_first, voi_entries = voi
        place = entries.astype(np.int64) - voi_first
        entries = voi_entries[place.clip(0, voi_entries.size - 1)]
    elif modality is not None and (window := _window(header)) is not None:
        center, width = window
        share = (entries - (center - 0.5)) / max(width - 1, 1) + 0.5  # PS3.3 C.11.2.1.2.1
        entries = np.rint(share.clip(0, 1) * _WHITE).astype(np.uint16)
    shift = 16 - int(entries.max()).bit_length()
    return Lut(first % 2**16, (entries << shift).astype("<u2").tobytes())


def _table(header: Attributes, keyword: str) -> tuple[int, NDArray[np.uint16]] | None:
    """Return first input value and entries of a sequence's first table, None if it is unusable."""
    for item in header.items(keyword)[:1]:
        if (found := lut_entries(item)) is not None:
            first, entries = found
            signed = header.word("PixelRepresentation") == 1 and first >= 2**15
            return first - 2**16 * signed, entries
    return None


def _uid(header: Attributes, keyword: str) -> str:
    """Return a UID verbatim, well-formed or not: an archive files an object by it."""
    return _bounded(header, keyword).decode("latin-1").strip(" \0")


def _copied(header: Attributes) -> dict[str, str]:
    terms = header.texts("SpecificCharacterSet")
    with quiet_pydicom():
        copied = {
            keyword: character_sets.decode(_bounded(header, keyword), terms, is_name=is_name)
            for keywords, is_name in ((_NAMES, True), (_TEXTS, False))
            for keyword in keywords
        }
    copied["PatientSex"] = sex if (sex := header.text("PatientSex")) in {"M", "F", "O"} else ""
    copied["PatientBirthDate"] = _date(header.text("PatientBirthDate"))
    copied["StudyDate"] = _date(header.text("StudyDate"))
    copied["StudyTime"] = _time(header.text("StudyTime"))
    copied["PatientAge"] = age if _AGE.fullmatch(age := header.text("PatientAge")) else ""
    for keyword in ("PatientSize", "PatientWeight"):
        number = next(iter(header.numbers(keyword)), math.nan)
        copied[keyword] = header.text(keyword) if 0 < number < 1000 else ""
    return {name: value for name, value in copied.items() if value or name in _REQUIRED}


def _bounded(header: Attributes, keyword: str) -> bytes:
    """Return an encoded value, empty if it is longer than any identifier could be."""
    value = header.raw(keyword)
    return bytes(value) if len(value) <= _MAX_BYTES else b""


def _date(text: str) -> str:
    """Return a DA value, empty for text that is no date."""
    found = _DATE.fullmatch(text)
    return "".join(found.groups()) if found else ""


def _time(text: str) -> str:
    """Return a TM value, empty for text that is no time."""
    found = _TIME.fullmatch(text)
    return "".join(part or "" for part in found.groups()) if found else ""


def _moment(header: Attributes) -> Moment:
    """Return the first complete date of the acquisition, the content, the series or the study."""
    offset = header.text("TimezoneOffsetFromUTC")
    offset = offset if _OFFSET.fullmatch(offset) else ""
    for name in _MOMENTS:
        date, time = _date(header.text(f"{name}Date")), _time(header.text(f"{name}Time"))
        if date:
            return Moment(date, time.ljust(6, "0") if time else "000000", offset)
    return UNDATED


def _patient_orientation(header: Attributes) -> tuple[str, ...]:
    """Return Patient Orientation if both directions are valid, none otherwise."""
    directions = header.texts("PatientOrientation")
    valid = len(directions) == 2 and all(re.fullmatch("[LRAPHF]{1,3}", item) for item in directions)
    return directions if valid else ()


def _pair(header: Attributes, first: str, second: str) -> tuple[float, float] | None:
    """Return the first value of two attributes, None unless both are numbers."""
    pair = tuple(next(iter(header.numbers(keyword)), math.nan) for keyword in (first, second))
    return None if any(math.isnan(value) for value in pair) else (pair[0], pair[1])


def _rescale(header: Attributes) -> tuple[float, float] | None:
    """Return slope and intercept, None if a Modality LUT takes their place."""
    pair = _pair(header, "RescaleSlope", "RescaleIntercept")
    return pair if _table(header, "ModalityLUTSequence") is None else None


def _window(header: Attributes) -> tuple[float, float] | None:
    window = _pair(header, "WindowCenter", "WindowWidth")
    return window if window is not None and window[1] >= 1 else None
