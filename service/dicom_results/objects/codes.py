"""Coded concepts of labels as DICOM objects name them.

A lung is coded as `Lung` with the side as a modifier, which is what readers of DICOM look for; the
codes of `radiograph.terminology.codes` name each lung in one concept. A label without a code gets a
private one, whose value follows from its name.

Source: DICOM PS3.16, CID 244 (laterality), CID 7150, CID 7191, annex D.
"""

import hashlib
from dataclasses import dataclass

from pydicom.sr.coding import Code as DicomCode

from radiograph.terminology.codes import Code

PRIVATE_SCHEME = "99G2D"
PRIVATE_SCHEME_NAME = "G2D radiograph service"

LUNG = DicomCode("39607008", "SCT", "Lung")
LEFT = DicomCode("7771000", "SCT", "Left")
RIGHT = DicomCode("24028007", "SCT", "Right")
ANATOMICAL_STRUCTURE = DicomCode("91723000", "SCT", "Anatomical Structure")
MORPHOLOGICALLY_ALTERED = DicomCode("49755003", "SCT", "Morphologically Altered Structure")
SPATIAL_CONCEPT = DicomCode("309825002", "SCT", "Spatial and Relational Concept")
LOCATED_PHRASE = DicomCode("PHRASE", PRIVATE_SCHEME, "Located phrase")
PRESENT = DicomCode("52101004", "SCT", "Present")
ABSENT = DicomCode("272519000", "SCT", "Absent")
PRESENCE = DicomCode("705057003", "SCT", "Presence")
PROBABILITY = DicomCode("122157", "DCM", "Probability")
THRESHOLD = DicomCode("122411", "DCM", "Threshold Value")
PERCENT = DicomCode("%", "UCUM", "Percent")
IMAGING_PROCEDURE = DicomCode("363679005", "SCT", "Imaging procedure")
IMAGING_REPORT = DicomCode("126000", "DCM", "Imaging Measurement Report")
ARTIFICIAL_INTELLIGENCE = DicomCode("123110", "DCM", "Artificial Intelligence")


@dataclass(frozen=True)
class Concept:
    """One structure or finding.

    Attributes:
        code: the structure or finding.
        side: the side of the patient, or None if there is none or it is not known.
        is_anatomical: a structure of the body, not a finding.
    """

    code: DicomCode
    side: DicomCode | None = None
    is_anatomical: bool = False


_BY_VALUE: dict[tuple[str, str], Concept] = {
    ("SCT", "44029006"): Concept(LUNG, LEFT, is_anatomical=True),
    ("SCT", "3341006"): Concept(LUNG, RIGHT, is_anatomical=True),
    ("SCT", "39607008"): Concept(LUNG, is_anatomical=True),
    ("SCT", "72410000"): Concept(DicomCode("72410000", "SCT", "Mediastinum"), is_anatomical=True),
    ("SCT", "80891009"): Concept(DicomCode("80891009", "SCT", "Heart"), is_anatomical=True),
    ("RADLEX", "RID28530"): Concept(DicomCode("112001", "DCM", "Opacity")),
    ("SCT", "409609008"): Concept(DicomCode("112121", "DCM", "Infiltrate")),
}
"""Concepts that DICOM codes in another way than `radiograph.terminology.codes`."""


def concept_of(name: str, code: Code | None) -> Concept:
    """Return the concept of a label.

    Args:
        name: the label.
        code: its code, or None if it has none.
    """
    if code is None:
        value = hashlib.sha256(name.encode()).hexdigest()[:12].upper()
        return Concept(DicomCode(value, PRIVATE_SCHEME, shortened(name)))
    known = _BY_VALUE.get((code.scheme, code.value))
    return known or Concept(DicomCode(code.value, code.scheme, shortened(code.meaning)))


def without_side(code: Code | None) -> Code | None:
    """Return the code of a structure of either side, None if that of one side has no such code."""
    known = code and _BY_VALUE.get((code.scheme, code.value))
    if not known or known.side is None:
        return None
    kind = known.code
    return Code(scheme=kind.scheme_designator, value=kind.value, meaning=kind.meaning)


def shortened(text: str, most: int = 64) -> str:
    """Return a text that fits into a value of LO, without backslashes."""
    text = text.replace("\\", "/").strip()
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
