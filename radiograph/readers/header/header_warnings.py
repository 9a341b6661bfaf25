"""Warnings derived from the header of a DICOM object, for the reader of the results.

A warning has the form `code: message`. Codes are stable; messages may change. Header text is
never repeated, because free text can name a patient.

    lateral_view           a lateral projection; the models know frontal projections only
    view_unusual           neither frontal nor lateral, such as oblique or decubitus
    view_contradictory     the header names both a frontal and a lateral view
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
from radiograph.readers.header.view import SERIES_TEXTS, STUDY_TEXTS, View

_CHEST_WORD = re.compile(
    r"CHEST|THORA|TORA[CXK]|\bTHX\b|CXR|LUNG|PULMO|HEART|\bRIBS?\b|RIBCAGE|MEDIASTIN|CLAVIC|STERN|"
    r"BRUSTKORB|PECHO|POUMON|BORSTK|BROST|PIERSIOW|HRUDN|GRUD|GOGUS|AKCIGER|MELLKAS|KEUHKO|"
    r"\bCHST\b|\bTH(OR)?\b|(?<!LOWER )TRUNK|TORSO"
)
_NO_STATEMENT = {
    "UNKNOWN",
    "UNSPECIFIED",
    "UNDEFINED",
    "NOT SPECIFIED",
    "OTHER",
    "NONE",
    "NULL",
    "N A",
    "NA",
    "ANY",
    "MISC",
    "DEFAULT",
    "UNDEF",
    "OT",
    "ALL",
    "BODY",
    "BODY PART",
    "WHOLEBODY",
    "WHOLE BODY",
    "BABYGRAM",
    "EXAM",
    "GENERAL",
    "XRAY",
    "X RAY",
    "CR",
    "DX",
    "DR",
}
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
    "56873002",
    "T-11210",
    "51299004",
    "T-12310",
}
_MAX_REGIONS = 16
_HUMAN_CODES = {"337915000", "L-85003", "L-85B00"}
_HUMAN_WORD = re.compile(r"HUMAN|SAPIENS")
_ANIMAL_WORD = re.compile(r"\b(CANINE|FELINE|EQUINE|BOVINE|VETERINAR\w*|DOG|HORSE)\b")
_ANIMAL_ONLY = (
    "PatientBreedDescription",
    "StrainDescription",
    "PatientBreedCodeSequence",
    "BreedRegistrationSequence",
    "StrainCodeSequence",
)
_RAW_DATA_CLASSES = {uid.DigitalXRayImageStorageForProcessing}


def names_chest(header: Attributes) -> bool | None:
    """Return whether the header names the chest, or None if it names no body part.

    Read from Body Part Examined (0018,0015) and Anatomic Region Sequence (0008,2218). A word such
    as `UNKNOWN` or `WHOLEBODY`, and text without a Latin letter, name none.
    """
    words = " ".join(re.findall(r"[A-Z]+", header.plain_text("BodyPartExamined")))
    stated = bool(words) and words not in _NO_STATEMENT
    regions = header.items("AnatomicRegionSequence")[:_MAX_REGIONS]
    coded = [region for region in regions if region.text("CodeValue")]
    if not stated and not coded:
        return None
    return _CHEST_WORD.search(words) is not None or any(map(_is_chest, coded))


def _is_chest(region: Attributes) -> bool:
    """Return whether a coded region is the chest by its code, or by the meaning of another code."""
    by_code = region.text("CodeValue") in _CHEST_CODES
    return by_code or _CHEST_WORD.search(region.plain_text("CodeMeaning")) is not None


def header_warnings(header: Attributes, view: View, sop_class: str) -> tuple[str, ...]:
    """Return the warnings that the header gives cause for, the most important first.

    Args:
        header: the data set.
        view: its view.
        sop_class: its SOP class, from the file meta information if the data set has none.
    """
    return (
        *_subject_warnings(header),
        *_view_warnings(view),
        *_object_warnings(header, sop_class),
    )


def _subject_warnings(header: Attributes) -> Iterator[str]:
    """Yield warnings about the species and the body part."""
    if _is_animal(header):
        yield "not_human: the header describes an animal; the models know human chests only"
    if names_chest(header) is False:
        yield "body_part: the header names a body part other than the chest"


def _is_animal(header: Attributes) -> bool:
    """Return whether the species, breed or strain, or a word in the free text, is an animal's."""
    if _is_animal_species(header.plain_text("PatientSpeciesDescription")):
        return True
    if any(map(_is_animal_code, header.items("PatientSpeciesCodeSequence"))):
        return True
    if any(header.text(name) or header.items(name) for name in _ANIMAL_ONLY):
        return True
    return any(
        _ANIMAL_WORD.search(header.text(name))
        for name in (*SERIES_TEXTS, *STUDY_TEXTS, "InstitutionName")
    )


def _is_animal_species(text: str) -> bool:
    """Return whether text in upper case names a species other than human."""
    words = " ".join(re.findall(r"[A-Z]+", text))
    stated = bool(words) and words not in _NO_STATEMENT
    return stated and _HUMAN_WORD.search(words) is None


def _is_animal_code(species: Attributes) -> bool:
    """Return whether a coded species is not human by its code, nor by the meaning of another."""
    code, meaning = species.text("CodeValue"), species.plain_text("CodeMeaning")
    return bool(code) and code not in _HUMAN_CODES and _HUMAN_WORD.search(meaning) is None


def _view_warnings(view: View) -> Iterator[str]:
    """Yield warnings about a view that is not frontal, or that the header contradicts."""
    if view.is_lateral:
        yield "lateral_view: a lateral projection; the models know frontal ones only"
    elif view.is_unusual:
        yield "view_unusual: the view is neither PA nor AP"
    if view.is_contradictory:
        yield "view_contradictory: the header names both a frontal and a lateral view"


def _object_warnings(header: Attributes, sop_class: str) -> Iterator[str]:
    """Yield warnings about the kind of object, its presentation and its identifier."""
    raw_class = sop_class in _RAW_DATA_CLASSES
    if raw_class or header.text("PresentationIntentType") == "FOR PROCESSING":
        yield "for_processing: raw detector data, which look unlike a finished radiograph"
    shape = header.text("PresentationLUTShape")
    photometric = header.text("PhotometricInterpretation")
    if shape and (shape == "INVERSE") != (photometric == "MONOCHROME1"):
        yield "presentation_lut: Presentation LUT Shape contradicts Photometric Interpretation"
    if "SOPInstanceUID" in header and header.uid("SOPInstanceUID") is None:
        yield "uid_malformed: SOP Instance UID is not well-formed and was left out"
