"""Segmentations: masks bit for bit, their codes, sides and references."""

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from radiograph.postprocess.heads import Mask
from service.dicom_results.kinds import ObjectKind
from service.dicom_results.options import DicomResultOptions
from tests.builders.files.dicom_files import SOP_INSTANCE_UID
from tests.builders.service.results.dicom_results import (
    COLUMNS,
    ORIENTATIONS,
    ROWS,
    SERIES,
    known_result,
    masks,
    one,
    source,
)

pytest.importorskip("highdicom")

LABELMAP = DicomResultOptions(segmentation_type="LABELMAP")


def sides(made: Dataset) -> list[str | None]:
    """Return the coded side of each segment."""
    kinds = [segment.SegmentedPropertyTypeCodeSequence[0] for segment in made.SegmentSequence]
    return [
        kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning
        if "SegmentedPropertyTypeModifierCodeSequence" in kind
        else None
        for kind in kinds
    ]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_masks_are_read_back_bit_for_bit(orientation: str, photometric: str) -> None:
    data = source(
        PatientOrientation=ORIENTATIONS[orientation], PhotometricInterpretation=photometric
    )
    made = one(ObjectKind.SEG, data)
    assert (made.SegmentationType, made.NumberOfFrames) == ("BINARY", 2)
    assert np.array_equal(made.pixel_array, np.stack(masks()))
    assert sides(made) == ["Left", "Right"]
    assert made.Modality == "SEG"
    assert made.BodyPartExamined == "CHEST"
    assert "Laterality" not in made


def test_an_empty_mask_is_a_frame_of_its_own() -> None:
    data = source()
    left, right = known_result(data).masks or ()
    empty = Mask(left.name, left.code, np.zeros_like(left.mask), 0, None, None)
    made = one(ObjectKind.SEG, data, masks=(empty, right))
    assert np.array_equal(made.pixel_array, np.stack([empty.mask, right.mask]))


def test_a_labelmap_has_the_number_of_each_segment() -> None:
    made = one(ObjectKind.SEG, source(), LABELMAP)
    left, right = masks()
    assert made.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7"
    assert made.file_meta.TransferSyntaxUID == uid.JPEGLSLossless
    assert np.array_equal(made.pixel_array, left + 2 * right)


def test_masks_that_overlap_are_never_a_labelmap() -> None:
    """Acceptance: BINARY where a label map is not possible (dcm4chee#4572, OHIF#4875)."""
    data = source()
    left, right = known_result(data).masks or ()
    both = Mask(right.name, right.code, left.mask | right.mask, 1, None, None)
    made = one(ObjectKind.SEG, data, LABELMAP, masks=(left, both))
    assert (made.SegmentationType, made.SegmentsOverlap) == ("BINARY", "YES")
    assert np.array_equal(made.pixel_array, np.stack([left.mask, both.mask]))


def test_geometry_is_nominal_and_refers_to_the_source() -> None:
    """Acceptance: Referenced Series Sequence is present (OHIF#4030, OHIF#4271)."""
    made = one(ObjectKind.SEG, source(FrameOfReferenceUID=None))
    shared = made.SharedFunctionalGroupsSequence[0]
    assert shared.PixelMeasuresSequence[0].PixelSpacing == [0.2, 0.2]
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
    for frame in made.PerFrameFunctionalGroupsSequence:
        assert frame.PlanePositionSequence[0].ImagePositionPatient == [0, 0, 0]
    (series,) = made.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == SERIES
    assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == SOP_INSTANCE_UID
    assert made.FrameOfReferenceUID.startswith("2.25.")


def test_a_nominal_spacing_has_the_shape_of_the_pixels() -> None:
    data = source(ImagerPixelSpacing=None, PixelAspectRatio=[1, 3])
    (shared,) = one(ObjectKind.SEG, data).SharedFunctionalGroupsSequence
    assert shared.PixelMeasuresSequence[0].PixelSpacing == [0.333333, 1]


def test_the_frame_of_reference_of_the_source_is_kept() -> None:
    assert one(ObjectKind.SEG, source(FrameOfReferenceUID="1.2.3")).FrameOfReferenceUID == "1.2.3"


@pytest.mark.parametrize(
    "attributes",
    [
        {"PatientOrientation": ["A", "F"]},  # no frontal projection's
        {"PatientOrientation": ["L", "R"]},  # contradicts itself
        {"ViewPosition": "LL"},
        {"PatientOrientation": None},  # the usual display would be assumed
    ],
)
def test_a_side_that_is_not_known_is_not_coded(attributes: dict[str, object]) -> None:
    """Acceptance: the right sides, or none (TotalSegmentator PR 598, OHIF#3420)."""
    made = one(ObjectKind.SEG, source(**attributes))
    assert sides(made) == [None, None]
    assert [segment.SegmentLabel for segment in made.SegmentSequence] == ["Lung", "Lung"]
    kinds = [item.SegmentedPropertyTypeCodeSequence[0] for item in made.SegmentSequence]
    assert [kind.CodeValue for kind in kinds] == ["39607008", "39607008"]


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [(None, ["Left", "Right"]), (["L", "F"], ["Left", "Right"]), (["L", "R"], [None, None])],
)
def test_a_site_may_have_the_usual_display_assumed(
    orientation: list[str] | None, expected: list[str | None]
) -> None:
    data = source(PatientOrientation=orientation)
    made = one(ObjectKind.SEG, data, DicomResultOptions(sides="assumed"))
    assert sides(made) == expected


def test_segments_name_the_algorithm_and_its_digest() -> None:
    made = one(ObjectKind.SEG, source())
    for segment in made.SegmentSequence:
        (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("tiny", "1")
        assert "0" * 64 in algorithm.AlgorithmParameters
        assert segment.SegmentAlgorithmType == "AUTOMATIC"


def test_heat_maps_are_probabilities_over_the_whole_source() -> None:
    made = one(ObjectKind.HEATMAP, source())
    assert (made.SegmentationType, made.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    assert made.file_meta.TransferSyntaxUID == uid.RLELossless
    pixels = made.pixel_array
    assert pixels.shape == (ROWS, COLUMNS)
    assert (pixels[0, 0], pixels[-1, -1]) == (0, 255)
    assert made.SegmentSequence[0].SegmentDescription == "left lung"
