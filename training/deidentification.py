"""De-identification of radiographs that go to training (PS3.15 annex E, Basic Profile).

    file --refuse burned-in text--> attributes: kept | mapped | nothing --> file without a history

Only the attributes that reading and training need are kept; every other one is removed, private
ones included, at any depth. That is stricter than the Basic Application Level Confidentiality
Profile, whose table names what must go: no attribute that is kept as it is stands in it (a test
compares). UIDs, the patient's number and, on request, dates are replaced consistently, by a secret
key.

Values are checked as well as names: a code string that is none of its defined terms, a number that
is none, and a text are removed, because people type names into any field.
"""

import datetime
import hashlib
import hmac
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.tag import Tag

from radiograph.errors import MalformedInput, UnusableImage
from radiograph.limits import as_malformed_input
from radiograph.readers.codecs import jpeg2000
from radiograph.readers.codecs.jpeg.markers import segments
from radiograph.readers.header.attributes import quiet_pydicom
from training.kept_attributes import DATES, NUMBERS, SEQUENCES, TERMS, UIDS

METHOD = "PS3.15 Basic Profile, all but attributes of the image removed"
_BASIC_PROFILE, _MODIFIED_DATES = "113100", "113107"

_KEPT = NUMBERS | TERMS.keys() | SEQUENCES | UIDS | DATES
_SCANNED = {"DF", "SD", "SI", "WSD", "DRW"}
"""Conversion types of images whose pixels may show a scanned sheet or a screen."""
_JPEG = {
    *uid.JPEGTransferSyntaxes,
    *uid.JPEGLSTransferSyntaxes,
}
_COMMENTS = {0xFE, *range(0xE1, 0xEE), 0xEF}
"""JPEG segments without image data: comments and application data, except JFIF and Adobe."""


class BurnedIn(UnusableImage):
    """The pixels show, or may show, text about the patient."""


@dataclass(frozen=True)
class Options:
    """Choices of one run.

    Attributes:
        key: secret that maps identifiers; one key gives one mapping.
        shift_dates: shift the dates of each patient by a number of days, instead of removing them.
        allow_burned_in: accept images that may show text.
    """

    key: bytes
    shift_dates: bool = False
    allow_burned_in: bool = False


@dataclass(frozen=True)
class Deidentified:
    """One file without identity.

    Attributes:
        patient: pseudonym of the patient.
        sop_instance_uid: the new UID of the image.
        data: the DICOM file.
    """

    patient: str
    sop_instance_uid: str
    data: bytes


def deidentify(data: bytes, options: Options) -> Deidentified:
    """Return a radiograph without what tells whose it is.

    Raises:
        BurnedIn: the pixels may show text, and the options do not allow it.
        UnusableImage: the object has no pixels, or they are stored as video.
        MalformedInput: the file is not DICOM, or broken.
    """
    with quiet_pydicom(), as_malformed_input("the file cannot be read as DICOM"):
        try:
            source = pydicom.dcmread(BytesIO(data))
        except InvalidDicomError as error:
            raise MalformedInput("the file is not DICOM") from error
        if not options.allow_burned_in:
            _refuse_burned_in(source)
        identity = _Identity(options, source)
        kept = _kept(source, identity)
        syntax = source.file_meta.TransferSyntaxUID
        _complete(kept, source, identity)
        target = _add_pixels(kept, source, syntax)
        return Deidentified(identity.patient, kept.SOPInstanceUID, _encoded(kept, target))


class _Identity:
    """The replacements of one patient's identifiers."""

    def __init__(self, options: Options, source: Dataset) -> None:
        self._options = options
        issuer, number = source.get("IssuerOfPatientID", ""), source.get("PatientID", "")
        # A file without a number is a patient of its own, for nothing says that two are one.
        person = f"{issuer}|{number}" if number else f"image {source.get('SOPInstanceUID', '')}"
        self._person = person
        self.patient = f"P{self._hash('patient', person).hex()[:16].upper()}"

    def uid(self, old: str) -> str:
        """Return the UID that replaces another one (PS3.5 section B.2)."""
        return f"2.25.{int.from_bytes(self._hash('uid', old)[:16], 'big')}"

    def date(self, old: str) -> str | None:
        """Return the shifted date; None if dates are removed, or it is not a date."""
        if not self._options.shift_dates or not re.fullmatch(r"[0-9]{8}", old):
            return None
        days = 1 + int.from_bytes(self._hash("days", self._person)[:4], "big") % 3650
        try:
            day = datetime.datetime.strptime(old, "%Y%m%d").replace(tzinfo=datetime.UTC)
            return (day - datetime.timedelta(days=days)).strftime("%Y%m%d").rjust(8, "0")
        except (ValueError, OverflowError):
            return None

    @property
    def profile_codes(self) -> tuple[str, ...]:
        """Codes of the profile and the options that were applied (PS3.16 CID 7050)."""
        return (_BASIC_PROFILE, *((_MODIFIED_DATES,) if self._options.shift_dates else ()))

    def _hash(self, kind: str, value: str) -> bytes:
        return hmac.digest(self._options.key, f"{kind}|{value}".encode(), hashlib.sha256)


def _refuse_burned_in(source: Dataset) -> None:
    """Refuse an image whose header says, or lets fear, that its pixels show text."""
    for keyword in ("BurnedInAnnotation", "RecognizableVisualFeatures"):
        if str(source.get(keyword, "")).strip().upper() == "YES":
            raise BurnedIn(f"{keyword} is YES")
    if str(source.get("BurnedInAnnotation", "")).strip().upper() == "NO":
        return
    sop_class = uid.UID(str(source.get("SOPClassUID", "")))
    if "Secondary Capture" in sop_class.name:
        raise BurnedIn("a secondary capture that does not say that nothing is burned in")
    if str(source.get("ConversionType", "")).strip().upper() in _SCANNED:
        raise BurnedIn("a scanned image that does not say that nothing is burned in")


def _kept(source: Dataset, identity: _Identity) -> Dataset:
    """Return the attributes of a data set, or of an item, that are kept."""
    kept = Dataset()
    for keyword in sorted(_KEPT):
        element = _element(source, keyword)
        if element is None or element.is_empty:
            continue
        if keyword in SEQUENCES and element.VR == "SQ":
            setattr(kept, keyword, [_kept(item, identity) for item in element.value])
        elif keyword in NUMBERS and _is_numeric(element):
            kept.add(DataElement(element.tag, element.VR, element.value))
        elif keyword in TERMS and (values := _terms(element, TERMS[keyword])):
            kept.add(DataElement(element.tag, element.VR, values))
        elif keyword in UIDS and isinstance(element.value, str):
            setattr(kept, keyword, identity.uid(element.value))
        elif keyword in DATES and (shifted := identity.date(str(element.value))):
            setattr(kept, keyword, shifted)
    if "CodeValue" in kept:  # required by the macro; the text of a sender may hold anything
        kept.CodeMeaning = kept.CodeValue
    return kept


def _element(source: Dataset, keyword: str) -> DataElement | None:
    """Return an element; None if there is none, or pydicom cannot read its value."""
    try:
        element: DataElement | None = source.get(Tag(keyword))
    except Exception:  # noqa: BLE001 - a value of another kind than its VR raises anything
        return None
    return element


def _is_numeric(element: DataElement) -> bool:
    """Return whether an element holds numbers only."""
    if isinstance(element.value, bytes):  # numbers of 8 or 16 bits
        return element.keyword == "LUTData"
    values = list(element.value) if element.VM > 1 else [element.value]
    return all(isinstance(value, int | float) or _is_number(value) for value in values)


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def _terms(element: DataElement, pattern: str) -> list[str]:
    """Return the values of an element if all of them are defined; of ImageType, the first two."""
    values = [str(element.value)] if element.VM == 1 else [str(value) for value in element.value]
    if element.keyword == "ImageType":
        values = values[:2]
    return values if all(re.fullmatch(pattern, value.strip()) for value in values) else []


def _complete(kept: Dataset, source: Dataset, identity: _Identity) -> None:
    """Add the attributes that say whose pseudonym this is and how the file was made."""
    sop_class = uid.UID(str(source.get("SOPClassUID", "")))
    if not sop_class.is_valid or sop_class.is_private or sop_class.name == str(sop_class):
        raise UnusableImage("the SOP class is not one of the standard")
    kept.SOPClassUID = sop_class
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        if keyword not in kept:
            setattr(kept, keyword, identity.uid(f"{keyword} of an image without one"))
    kept.PatientID = kept.PatientName = identity.patient
    for keyword in ("PatientBirthDate", "PatientSex", "StudyTime", "AccessionNumber", "StudyID"):
        setattr(kept, keyword, "")
    kept.ReferringPhysicianName = ""
    if "StudyDate" not in kept:
        kept.StudyDate = ""
    kept.PatientIdentityRemoved = "YES"
    kept.DeidentificationMethod = METHOD
    kept.DeidentificationMethodCodeSequence = [_code(code) for code in identity.profile_codes]


def _code(value: str) -> Dataset:
    meanings = {
        _BASIC_PROFILE: "Basic Application Confidentiality Profile",
        _MODIFIED_DATES: "Retain Longitudinal Temporal Information Modified Dates Option",
    }
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = value, "DCM"
    code.CodeMeaning = meanings[value]
    return code


def _add_pixels(kept: Dataset, source: Dataset, syntax: uid.UID) -> uid.UID:
    """Add the pixel data without comments; return their transfer syntax."""
    if "PixelData" not in source:
        raise UnusableImage("the object has no pixel data")
    if not syntax.is_encapsulated:
        if not syntax.is_little_endian:
            raise UnusableImage("pixel data in big-endian order are not read")
        kept.add_new("PixelData", "OW", _without_unused_bits(kept, source.PixelData))
        return uid.ExplicitVRLittleEndian
    frames = list(generate_frames(source.PixelData, number_of_frames=1))
    if syntax in _JPEG:
        frames = [_without_comments(frame) for frame in frames]
    elif syntax in uid.JPEG2000TransferSyntaxes:
        frames = [_without_j2k_comments(jpeg2000.bare(frame).data) for frame in frames]
    elif syntax != uid.RLELossless:
        raise UnusableImage("the transfer syntax is not one of an image")
    kept.add_new("PixelData", "OB", encapsulate(frames))
    kept["PixelData"].is_undefined_length = True
    return syntax


def _without_unused_bits(kept: Dataset, pixels: bytes) -> bytes:
    """Return native pixel data with 0 in the bits that older files use for overlays."""
    stored, allocated = int(kept.BitsStored), int(kept.BitsAllocated)
    plain = (
        kept.get("PixelRepresentation", 0) == 0 and kept.get("HighBit", stored - 1) + 1 == stored
    )
    if not plain or stored >= allocated or allocated not in (8, 16):
        return pixels
    whole = len(pixels) // (allocated // 8) * (allocated // 8)
    samples = np.frombuffer(pixels[:whole], "<u2" if allocated == 16 else "u1")
    used: NDArray[np.unsignedinteger] = samples & samples.dtype.type((1 << stored) - 1)
    return used.tobytes()


def _without_comments(frame: bytes) -> bytes:
    """Return a JPEG or JPEG-LS picture without comments and application data."""
    kept = (part for part in segments(frame) if part.marker not in _COMMENTS)
    return _even(frame[:2] + b"".join(frame[part.start : part.data_end] for part in kept))


def _without_j2k_comments(codestream: bytes) -> bytes:
    """Return a JPEG 2000 codestream without the comments (COM) of its main header."""
    kept, at = [codestream[:2]], 2
    while codestream[at : at + 2] != b"\xff\x90":  # SOT begins the first tile-part
        length = int.from_bytes(codestream[at + 2 : at + 4], "big")
        if codestream[at : at + 1] != b"\xff" or length < 2:
            raise UnusableImage("the JPEG 2000 header is damaged")
        if codestream[at : at + 2] != b"\xff\x64":
            kept.append(codestream[at : at + 2 + length])
        at += 2 + length
    return _even(b"".join([*kept, codestream[at:]]))


def _even(frame: bytes) -> bytes:
    return frame + b"\0" * (len(frame) % 2)


def _encoded(kept: Dataset, syntax: uid.UID) -> bytes:
    """Return the file, with an empty preamble and file meta information of its own."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = kept.SOPClassUID
    meta.MediaStorageSOPInstanceUID = kept.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    file = BytesIO()
    dataset = FileDataset(file, kept, file_meta=meta, preamble=bytes(128))
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def write(result: Deidentified, folder: Path) -> Path:
    """Write a file as PATIENT/UID.dcm below a folder; names of the source may tell the patient.

    Raises:
        OSError: the file exists already, or cannot be written.
    """
    path = folder / result.patient / f"{result.sop_instance_uid}.dcm"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(result.data)
    return path
