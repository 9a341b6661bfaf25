"""Patient Orientation turns an image upright, and is the evidence for left and right."""

from typing import Any

import pytest

from radiograph.image import Radiograph
from radiograph.readers import dicom as reader
from tests.builders.files import dicom_files


def radiograph(**attributes: Any) -> Radiograph:
    made = dicom_files.dataset(dicom_files.ramp(), **attributes)
    return reader.read(dicom_files.write(made, dicom_files.ramp().tobytes()))


def codes(image: Radiograph) -> list[str]:
    return dicom_files.codes(image.warnings)


@pytest.mark.parametrize(
    ("directions", "name", "warnings"),
    [
        (["L", "F"], "none", []),
        (["LP", "FP"], "none", []),
        (["R", "F"], "mirrored", ["orientation_mirrored"]),
        (["R", "H"], "rotated_180", ["orientation_mirrored", "orientation_unusual"]),
        (["L", "H"], "flipped", ["orientation_unusual"]),
        (["F", "R"], "rotated_90", ["orientation_unusual"]),
        (["H", "L"], "rotated_270", ["orientation_unusual"]),
    ],
)
def test_a_frontal_orientation_asserts_the_sides(
    directions: list[str], name: str, warnings: list[str]
) -> None:
    image = radiograph(PatientOrientation=directions)
    assert image.orientation.name == name
    assert image.laterality == "asserted"
    assert codes(image) == warnings


def test_a_delimiter_behind_both_directions_does_no_harm() -> None:
    image = radiograph(PatientOrientation=["R", "F", ""])
    assert image.orientation.name == "mirrored"
    assert image.laterality == "asserted"


def test_pixels_stay_as_they_are_stored() -> None:
    mirrored = radiograph(PatientOrientation=["R", "F"])
    assert (mirrored.pixels == radiograph().pixels).all()


@pytest.mark.parametrize("directions", ["", None])
def test_without_an_orientation_the_usual_display_is_assumed(directions: Any) -> None:
    image = radiograph(PatientOrientation=directions)
    assert image.orientation.is_upright
    assert image.laterality == "assumed"
    assert codes(image) == []


@pytest.mark.parametrize(
    "directions", [["L"], ["L", "R"], ["H", "F"], ["X", "Y"], ["L", ""], ["LR", "HF"]]
)
def test_an_orientation_that_is_not_frontal_says_nothing_of_the_sides(
    directions: list[str],
) -> None:
    image = radiograph(PatientOrientation=directions)
    assert image.orientation.is_upright
    assert image.laterality == "unknown"
    assert codes(image) == ["orientation_unknown"]


@pytest.mark.parametrize("directions", [["A", "F"], ["P", "F"], ["F", "A"], ["PL", "F"]])
def test_a_frontal_view_with_the_orientation_of_a_lateral_one_is_contradictory(
    directions: list[str],
) -> None:
    image = radiograph(ViewPosition="PA", PatientOrientation=directions)
    assert image.orientation.is_upright
    assert image.laterality == "unknown"
    assert codes(image) == ["lateral_view", "view_contradictory"]


def test_a_lateral_view_has_no_sides_and_is_not_turned() -> None:
    lateral = radiograph(ViewPosition="LL", PatientOrientation=["A", "F"])
    assert (lateral.laterality, codes(lateral)) == ("unknown", ["lateral_view"])
    contradictory = radiograph(ViewPosition="LL", PatientOrientation=["R", "F"])
    assert contradictory.orientation.is_upright
    assert contradictory.laterality == "unknown"
    assert codes(contradictory) == ["lateral_view", "orientation_unknown"]


def test_field_of_view_attributes_turn_nothing() -> None:
    image = radiograph(
        PatientOrientation=None, FieldOfViewRotation="90", FieldOfViewHorizontalFlip="YES"
    )
    assert image.orientation.is_upright
    assert image.laterality == "assumed"
