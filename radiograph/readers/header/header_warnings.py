"""Warnings derived from the header of a DICOM object, for the reader of the results.

A warning has the form `code: message`. Codes are stable; messages may change. Header text is
never repeated, because free text can name a patient.

    lateral_view           a lateral projection; the models know frontal projections only
    view_unusual           neither frontal nor lateral, such as oblique or decubitus
    body_part              the header names a body part other than the chest
    not_human              a veterinary object
    for_processing         raw detector data, not meant for display
    presentation_lut       Presentation LUT Shape contradicts Photometric Interpretation
    uid_malformed          SOP Instance UID is not well-formed and was ignored

Warnings about the orientation are in `patient_orientation`.
"""

import re
from collections.abc import Iterator

from pydicom import uid

from radiograph.readers.header.attributes import Attributes

FRONTAL_CODES = {"399348003": "AP", "R-10206": "AP", "272479007": "PA", "R-40888": "PA"}
LATERAL_CODES = {
    "399173006": "LL",
    "R-10236": "LL",
    "399198007": "RL",
    "R-10232": "RL",
    "399067008": "LATERAL",
    "R-102CD": "LATERAL",
    "399352003": "LATERAL",
    "R-10228": "LATERAL",
    "399260004": "LATERAL",
    "R-10224": "LATERAL",
}
"""View Position for each code of DICOM CID 4010, as SNOMED CT and as older SRT values."""

FRONTAL_VIEWS = frozenset(FRONTAL_CODES.values())
"""View Positions that are certainly frontal."""

_VIEW = re.compile(r"[A-Z0-9 _]{1,16}")
_LATERAL_VIEWS = {"LL", "RL", "LAT", "LATERAL", "LLAT", "RLAT", "LM", "ML"}
_LATERAL_WORD = re.compile(r"\bLAT(ERAL)?\b(?!.*DECUB)")
_FRONTAL_WORD = re.compile(r"\b(PA|AP|FRONTAL)\b|POSTERO.?ANTERIOR|ANTERO.?POSTERIOR")
_CHEST_WORD = re.compile(r"CHEST|THORA|TORAX|LUNG|PULMO|HEART|\bRIBS?\b|MEDIASTIN|CLAVIC|STERN")
# SNOMED CT and older SRT codes of regions and organs of the chest.
_CHEST_CODES = {
    "816094009",
    "51185008",
    "T-D3000",
    "39607008",
    "T-28000",
    "416550000",
    "R-FAB55",
    "416775004",
    "R-FAB56",
    "80891009",
    "T-32000",
    "113197003",
    "T-11300",
}
_HUMAN_SPECIES = {"", "HUMAN", "HOMO SAPIENS", "337915000", "L-85003", "L-85B00"}
_ANIMAL_WORD = re.compile(r"\b(CANINE|FELINE|EQUINE|BOVINE|VETERINAR\w*|DOG|HORSE)\b")
_ANIMAL_ONLY = (
    "PatientBreedDescription",
    "StrainDescription",
    "PatientBreedCodeSequence",
    "BreedRegistrationSequence",
    "StrainCodeSequence",
)
_FREE_TEXT = (
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "AcquisitionDeviceProcessingDescription",
)
_RAW_DATA_CLASSES = {uid.DigitalXRayImageStorageForProcessing}


def view_position(header: Attributes) -> str | None:
    """Return View Position (0018,5101), or its equivalent in View Code Sequence (0054,0220)."""
    view = header.text("ViewPosition")
    if _VIEW.fullmatch(view):
        return view
    positions = FRONTAL_CODES | LATERAL_CODES
    coded = (positions.get(item.text("CodeValue")) for item in header.items("ViewCodeSequence"))
    return next(filter(None, coded), None)


def names_chest(header: Attributes) -> bool | None:
    """Return whether the header names the chest, or None if it names no body part.

    Read from Body Part Examined (0018,0015) and Anatomic Region Sequence (0008,2218).
    """
    stated = [part for part in header.texts("BodyPartExamined") if part]
    items = header.items("AnatomicRegionSequence")
    codes = [code for item in items if (code := item.text("CodeValue"))]
    if not stated and not codes:
        return None
    return any(map(_CHEST_WORD.search, stated)) or any(code in _CHEST_CODES for code in codes)


def header_warnings(header: Attributes) -> tuple[str, ...]:
    """Return the warnings that the header gives cause for, the most important first."""
    return (
        *_subject_warnings(header),
        *_view_warnings(header),
        *_object_warnings(header),
    )


def _subject_warnings(header: Attributes) -> Iterator[str]:
    """Yield warnings about the species and the body part."""
    if _is_animal(header):
        yield "not_human: the header describes an animal; the models know human chests only"
    if names_chest(header) is False:
        yield "body_part: the header names a body part other than the chest"


def _is_animal(header: Attributes) -> bool:
    """Return whether the species, breed or strain, or a word in the free text, is an animal's."""
    species = [header.text("PatientSpeciesDescription")]
    species += [item.text("CodeValue") for item in header.items("PatientSpeciesCodeSequence")]
    if any(name not in _HUMAN_SPECIES for name in species):
        return True
    if any(header.text(name) or header.items(name) for name in _ANIMAL_ONLY):
        return True
    return any(_ANIMAL_WORD.search(header.text(name)) for name in (*_FREE_TEXT, "InstitutionName"))


def _view_warnings(header: Attributes) -> Iterator[str]:
    """Yield a warning about a view that is not frontal."""
    view = view_position(header)
    if is_lateral(header):
        yield "lateral_view: a lateral projection; the models know frontal ones only"
    elif view is not None and not _FRONTAL_WORD.search(view):
        yield "view_unusual: the view is neither PA nor AP"


def is_lateral(header: Attributes) -> bool:
    """Return whether the projection is lateral.

    Decided by the view, or else by rows that run between front and back, or else by free text.
    """
    view = view_position(header)
    if view is not None:
        return view in _LATERAL_VIEWS or _LATERAL_WORD.search(view) is not None
    if header.text("PatientOrientation")[:1] in ("A", "P"):
        return True
    texts = [header.text(name) for name in _FREE_TEXT]
    if any(map(_FRONTAL_WORD.search, texts)):
        return False
    return any(map(_LATERAL_WORD.search, texts))


def _object_warnings(header: Attributes) -> Iterator[str]:
    """Yield warnings about the kind of object, its presentation and its identifier."""
    raw_class = header.text("SOPClassUID") in _RAW_DATA_CLASSES
    if raw_class or header.text("PresentationIntentType") == "FOR PROCESSING":
        yield "for_processing: raw detector data, which look unlike a finished radiograph"
    shape = header.text("PresentationLUTShape")
    photometric = header.text("PhotometricInterpretation")
    if shape and (shape == "INVERSE") != (photometric == "MONOCHROME1"):
        yield "presentation_lut: Presentation LUT Shape contradicts Photometric Interpretation"
    if "SOPInstanceUID" in header and header.uid("SOPInstanceUID") is None:
        yield "uid_malformed: SOP Instance UID is not well-formed and was left out"
