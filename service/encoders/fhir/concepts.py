"""Concepts that the resources are coded with.

Codes of findings and structures come from the manifest (`radiograph.terminology.codes`). A scheme
without a known URI in FHIR, and a side that the site does not code, are given as text alone. What
no standard has a code for is coded in systems of our own, `urn:g2d:fhir:...`.

Source: DICOM PS3.16 for DCM and SNOMED CT codes, FHIR R4B "Code Systems" for the URIs.
"""

from dataclasses import dataclass

from radiograph.image import Laterality
from radiograph.terminology.codes import Code, has_side
from service.encoders.fhir.resources import CodeableConcept, Coding

SNOMED = "http://snomed.info/sct"
DICOM = "http://dicom.nema.org/resources/ontology/DCM"
LOINC = "http://loinc.org"
_HL7 = "http://terminology.hl7.org/CodeSystem"
OURS = "urn:g2d:fhir:measure"
WARNING = "urn:g2d:fhir:warning"

SYSTEMS = {"SCT": SNOMED, "RADLEX": "http://www.radlex.org", "DCM": DICOM, "LN": LOINC}
"""URI of a DICOM coding scheme in FHIR, by its designator."""


def _concept(system: str, code: str, display: str, text: str | None = None) -> CodeableConcept:
    coding = Coding(system=system, code=code, display=display)
    return CodeableConcept(coding=(coding,), text=text or display)


IMAGING = _concept(f"{_HL7}/observation-category", "imaging", "Imaging")
RADIOLOGY = _concept(f"{_HL7}/v2-0074", "RAD", "Radiology")
STUDY = _concept(
    LOINC, "18748-4", "Diagnostic imaging study", "Automated analysis of a chest radiograph"
)
MEDICAL_RECORD = _concept(f"{_HL7}/v2-0203", "MR", "Medical record number", "Patient ID")
POSITIVE = _concept(f"{_HL7}/v3-ObservationInterpretation", "POS", "Positive")
NEGATIVE = _concept(f"{_HL7}/v3-ObservationInterpretation", "NEG", "Negative")
PRESENT = _concept(SNOMED, "52101004", "Present")
ABSENT = _concept(SNOMED, "272519000", "Absent")
PROBABILITY = _concept(DICOM, "122157", "Probability")
THRESHOLD = _concept(DICOM, "122411", "Threshold Value")
AREA = _concept(SNOMED, "42798000", "Area")
BOX = _concept(OURS, "bounding-box", "Bounding box in source pixels, [x0, y0, x1, y1]")
SCORE = _concept(OURS, "score", "Score of the detector")
SIMILARITY = _concept(OURS, "similarity", "Similarity of image and phrase")
LATERALITY = _concept(OURS, "laterality-evidence", "Evidence for the side")
AGREEMENT = _concept(OURS, "agreement", "Agreement of the analysis of changed views of the image")
RANGE = _concept(OURS, "range", "Range of the probability over changed views of the image")
DISTANCE = _concept(OURS, "distance", "Distance from the training images")
SEGMENTED = _concept(OURS, "segmented-region", "Segmented region")
DETECTED = _concept(OURS, "detected-region", "Detected region")
GROUNDED = _concept(OURS, "phrase", "Phrase looked for in the image")
CAUTION = _concept(OURS, "caution", "Reason for caution")
OUT_OF_DOMAIN = _concept(OURS, "out-of-domain", "Unlike the training images")


@dataclass(frozen=True)
class Side:
    """What is known of the sides of an image.

    Attributes:
        evidence: evidence for the side that a name states.
        coded: whether the site codes sides with this evidence; otherwise they are text.
    """

    evidence: Laterality
    coded: bool


def named(name: str, code: Code | None, side: Side | None = None) -> CodeableConcept:
    """Return the concept of a finding or structure.

    Args:
        name: its name in the manifest.
        code: its code there, or None.
        side: evidence for the side that the name may state; None if it can state none.
    """
    if side is not None and not side.coded and has_side(name):
        return CodeableConcept(text=f"{name} (side {side.evidence})")
    if code is None or code.scheme not in SYSTEMS:
        return CodeableConcept(text=name)
    return _concept(SYSTEMS[code.scheme], code.value, code.meaning, name)


def measured(name: str, code: Code | None) -> CodeableConcept:
    """Return the concept of a measurement, in our own system if it has no other code."""
    if code is not None:
        return named(name, code)
    return _concept(OURS, name.lower().replace(" ", "-"), name)


def caution(code: str, message: str) -> CodeableConcept:
    """Return the concept of a warning of the service."""
    return _concept(WARNING, code, code.replace("_", " "), message)


def plain(text: str) -> CodeableConcept:
    """Return a concept without a code."""
    return CodeableConcept(text=text)
