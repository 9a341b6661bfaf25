"""Reports: boxes equal as 32-bit floats, findings with probability, threshold and presence."""

from collections.abc import Iterator

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from service.dicom_results.kinds import ObjectKind
from service.dicom_results.options import DicomResultOptions
from tests.builders.files.dicom_files import SOP_INSTANCE_UID
from tests.builders.service.results.dicom_results import (
    BOX,
    ORIENTATIONS,
    SERIES,
    STUDY,
    one,
    source,
)

pytest.importorskip("highdicom")


def items(node: Dataset) -> Iterator[Dataset]:
    """Yield every content item below a node."""
    for item in node.get("ContentSequence", ()):
        yield item
        yield from items(item)


def named(made: Dataset, name: str) -> list[Dataset]:
    """Return the content items with a concept name."""
    return [item for item in items(made) if item.ConceptNameCodeSequence[0].CodeMeaning == name]


def coded(made: Dataset, name: str) -> list[str]:
    return [item.ConceptCodeSequence[0].CodeMeaning for item in named(made, name)]


def numbers(made: Dataset, name: str) -> list[float]:
    found = [item.MeasuredValueSequence[0] for item in named(made, name)]
    assert {item.MeasurementUnitsCodeSequence[0].CodeValue for item in found} == {"%"}
    return [float(item.NumericValue) for item in found]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_boxes_are_equal_as_float32(orientation: str) -> None:
    made = one(ObjectKind.SR_BOXES, source(PatientOrientation=ORIENTATIONS[orientation]))
    detected, located = named(made, "Image Region")
    x0, y0, x1, y1 = np.asarray(BOX, dtype=np.float32).tolist()
    assert list(detected.GraphicData) == [x0, y0, x1, y0, x1, y1, x0, y1, x0, y0]
    assert list(located.GraphicData)[:4] == [1.5, 2.5, 8.0, 2.5]
    assert numbers(made, "Probability") == [75.0, 60.0]
    assert coded(made, "Laterality") == ["Left"]
    assert [item.TextValue for item in named(made, "Tracking Identifier")] == [
        "Left lung",
        "left lung",
    ]


def test_a_box_of_an_unknown_side_has_no_laterality() -> None:
    made = one(ObjectKind.SR_BOXES, source(PatientOrientation=["L", "R"]), groundings=None)
    assert named(made, "Laterality") == []
    assert coded(made, "Finding") == ["Lung"]
    assert [item.TextValue for item in named(made, "Tracking Identifier")] == ["Lung"]


def test_findings_are_present_or_absent() -> None:
    made = one(ObjectKind.SR_FINDINGS, source())
    assert coded(made, "Finding") == ["Pneumonia", "Hernia"]
    assert numbers(made, "Probability") == [81.25, 12.5]
    assert numbers(made, "Threshold Value") == [50.0, 50.0]
    assert coded(made, "Presence") == ["Present", "Absent"]


def test_a_label_without_a_code_has_a_private_one() -> None:
    made = one(ObjectKind.SR_FINDINGS, source())
    codes = [item.ConceptCodeSequence[0] for item in named(made, "Finding")]
    assert [code.CodingSchemeDesignator for code in codes] == ["SCT", "99G2D"]
    (scheme,) = made.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == "99G2D"


def test_evidence_is_the_radiograph() -> None:
    """Acceptance: Referenced Series Sequence is present (OHIF#4030, OHIF#4271)."""
    made = one(ObjectKind.SR_BOXES, source())
    (study,) = made.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    (instance,) = series.ReferencedSOPSequence
    assert (study.StudyInstanceUID, series.SeriesInstanceUID) == (STUDY, SERIES)
    assert instance.ReferencedSOPInstanceUID == SOP_INSTANCE_UID


def test_a_report_is_preliminary_unless_the_site_says_otherwise() -> None:
    made = one(ObjectKind.SR_FINDINGS, source())
    assert (made.PreliminaryFlag, made.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
    final = one(ObjectKind.SR_FINDINGS, source(), DicomResultOptions(preliminary=False))
    assert (final.PreliminaryFlag, final.VerificationFlag) == ("FINAL", "UNVERIFIED")


@pytest.mark.parametrize("kind", [ObjectKind.SR_BOXES, ObjectKind.SR_FINDINGS])
def test_the_fall_back_is_a_comprehensive_report(kind: ObjectKind) -> None:
    made = one(kind, source(), DicomResultOptions(report_class="COMPREHENSIVE"))
    assert made.SOPClassUID == uid.ComprehensiveSRStorage
    assert one(kind, source()).SOPClassUID == uid.Comprehensive3DSRStorage


def test_a_report_names_the_version_and_its_digest() -> None:
    made = one(ObjectKind.SR_FINDINGS, source())
    texts = {item.TextValue for item in items(made) if item.ValueType == "TEXT"}
    assert {"tiny", "1", "sha256:" + "0" * 64} <= texts
