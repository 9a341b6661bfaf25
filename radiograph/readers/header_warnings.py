"""Cautions: what a data set says of itself that a reader of the results must know.

Each is `code: message`. Codes are stable and messages may change. No header text is repeated:
free text can name a patient.

    lateral_view           a lateral projection; the models know frontal ones
    view_unusual           neither frontal nor lateral, such as oblique or decubitus
    body_part              the header names another body part than the chest
    orientation_mirrored   rows run towards the patient's right, so left and right are swapped
    orientation_unusual    rotated or upside down
    not_human              a veterinary object
    for_processing         raw detector data, not meant to be looked at
    presentation_lut       Presentation LUT Shape contradicts Photometric Interpretation
    uid_malformed          SOP Instance UID is not well-formed and was left out

A mirrored image is not flipped: results are in stored pixels, the element is often wrong, and
an image that was flipped in silence cannot be recognised by anyone afterwards.
"""

import re
from collections.abc import Iterator

from radiograph.readers.attributes import Attributes

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
"""CID 4010 (SNOMED CT and its older SRT values) -> View Position."""

FRONTAL_VIEWS = frozenset(FRONTAL_CODES.values())
"""View Positions that say frontal beyond doubt."""

_VIEW = re.compile(r"[A-Z0-9 _]{1,16}")
_LATERAL_VIEWS = {"LL", "RL", "LAT", "LATERAL", "LLAT", "RLAT", "LM", "ML"}
_LATERAL_WORD = re.compile(r"\bLAT(ERAL)?\b(?!.*DECUB)")
_FRONTAL_WORD = re.compile(r"\b(PA|AP|FRONTAL)\b|POSTERO.?ANTERIOR|ANTERO.?POSTERIOR")
_CHEST_WORD = re.compile(r"CHEST|THORA|TORAX|LUNG|PULMO|HEART|\bRIBS?\b|MEDIASTIN|CLAVIC|STERN")
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
_RAW_DATA_CLASSES = {"1.2.840.10008.5.1.4.1.1.1.1.1"}


def view_position(header: Attributes) -> str | None:
    """View Position (0018,5101), or what View Code Sequence (0054,0220) says in its terms."""
    view = header.text("ViewPosition")
    if _VIEW.fullmatch(view):
        return view
    codes = FRONTAL_CODES | LATERAL_CODES
    found = (codes.get(item.text("CodeValue")) for item in header.items("ViewCodeSequence"))
    return next(filter(None, found), None)


def names_chest(header: Attributes) -> bool | None:
    """Whether Body Part Examined or Anatomic Region names the chest; None if neither is there."""
    stated = [part for part in header.texts("BodyPartExamined") if part]
    items = header.items("AnatomicRegionSequence")
    codes = [code for item in items if (code := item.text("CodeValue"))]
    if not stated and not codes:
        return None
    return any(map(_CHEST_WORD.search, stated)) or any(code in _CHEST_CODES for code in codes)


def cautions(header: Attributes) -> tuple[str, ...]:
    """Everything in the header that calls for caution, most important first."""
    return (*_subject(header), *_view(header), *_orientation(header), *_pixels(header))


def _subject(header: Attributes) -> Iterator[str]:
    if _is_animal(header):
        yield "not_human: the header describes an animal; the models know human chests only"
    if names_chest(header) is False:
        yield "body_part: the header names a body part other than the chest"


def _is_animal(header: Attributes) -> bool:
    """Patient species, breed or strain, or an animal's name in the protocol."""
    species = [header.text("PatientSpeciesDescription")]
    species += [item.text("CodeValue") for item in header.items("PatientSpeciesCodeSequence")]
    if any(name not in _HUMAN_SPECIES for name in species):
        return True
    if any(header.text(name) or header.items(name) for name in _ANIMAL_ONLY):
        return True
    return any(_ANIMAL_WORD.search(header.text(name)) for name in (*_FREE_TEXT, "InstitutionName"))


def _view(header: Attributes) -> Iterator[str]:
    view = view_position(header)
    if _is_lateral(header, view):
        yield "lateral_view: a lateral projection; the models know frontal ones only"
    elif view is not None and not _FRONTAL_WORD.search(view):
        yield "view_unusual: the view is neither PA nor AP"


def _is_lateral(header: Attributes, view: str | None) -> bool:
    """By the view, else by rows that run front to back, else by the protocol's words."""
    if view is not None:
        return view in _LATERAL_VIEWS or _LATERAL_WORD.search(view) is not None
    if header.text("PatientOrientation")[:1] in ("A", "P"):
        return True
    words = [header.text(name) for name in _FREE_TEXT]
    if any(map(_FRONTAL_WORD.search, words)):
        return False
    return any(map(_LATERAL_WORD.search, words))


def _orientation(header: Attributes) -> Iterator[str]:
    """Patient Orientation (0020,0020): where rows and columns run; L and F is the usual."""
    orientation = header.texts("PatientOrientation")
    if len(orientation) != 2 or not all(orientation):
        return
    row, column = (direction[0] for direction in orientation)
    if row == "R":
        yield "orientation_mirrored: the header says that image right is the patient's right"
    if row in ("H", "F") or column != "F":
        yield "orientation_unusual: the header says that the image is rotated or upside down"


def _pixels(header: Attributes) -> Iterator[str]:
    raw_class = header.text("SOPClassUID") in _RAW_DATA_CLASSES
    if raw_class or header.text("PresentationIntentType") == "FOR PROCESSING":
        yield "for_processing: raw detector data, which look unlike a finished radiograph"
    shape, photometric = (
        header.text("PresentationLUTShape"),
        header.text("PhotometricInterpretation"),
    )
    if shape and (shape == "INVERSE") != (photometric == "MONOCHROME1"):
        yield "presentation_lut: Presentation LUT Shape contradicts Photometric Interpretation"
    if "SOPInstanceUID" in header and header.uid("SOPInstanceUID") is None:
        yield "uid_malformed: SOP Instance UID is not well-formed and was left out"
