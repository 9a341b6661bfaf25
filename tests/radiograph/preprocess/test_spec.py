import json

import pytest
from pydantic import ValidationError

from radiograph.geometry.geometry import Field, Geometry
from radiograph.geometry.orientation import UPRIGHT, Orientation
from radiograph.preprocess import PreprocessSpec, place


def test_the_json_of_version_1_is_that_of_published_manifests() -> None:
    """The cache of training images is found by it, and answers repeat it."""
    assert json.loads(PreprocessSpec().model_dump_json()) == {
        "version": 1,
        "size_px": 224,
        "resize": "bilinear_antialias",
        "pad": "centre_black",
        "low_percentile": 0.5,
        "high_percentile": 99.5,
        "mean": 0.5,
        "std": 0.5,
    }


@pytest.mark.parametrize("version", [1, 2])
def test_a_specification_is_equal_after_a_round_trip(version: int) -> None:
    spec = PreprocessSpec.model_validate({"version": version, "size_px": 96})
    assert PreprocessSpec.model_validate_json(spec.model_dump_json()) == spec


def test_versions_and_options_are_told_apart_by_their_json() -> None:
    made = {
        PreprocessSpec().model_dump_json(),
        PreprocessSpec(version=2).model_dump_json(),
        PreprocessSpec(version=2, crop="exposed_field").model_dump_json(),
    }
    assert len(made) == 3


@pytest.mark.parametrize(
    "wrong", [{"crop": "exposed_field"}, {"version": 3}, {"version": 2, "crop": "lungs"}]
)
def test_an_option_that_a_version_does_not_have_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PreprocessSpec.model_validate(wrong)


def test_version_1_places_pixels_as_they_are_stored() -> None:
    placed = place(PreprocessSpec(), 100, 50, (0.1, 0.2), UPRIGHT)
    assert placed == Geometry.fit(100, 50, 224)


@pytest.mark.parametrize("turned", [False, True])
def test_version_2_places_pixels_by_their_size(turned: bool) -> None:
    orientation = Orientation(transposed=turned)
    placed = place(PreprocessSpec(version=2), 100, 50, (0.1, 0.2), orientation)
    assert (placed.height, placed.width) == (224, 224)  # 10 mm x 10 mm


def test_a_field_is_placed_in_the_middle() -> None:
    field = Field(10, 20, 40, 20)
    placed = place(PreprocessSpec(version=2), 100, 50, None, UPRIGHT, field)
    assert (placed.height, placed.width, placed.left) == (224, 112, 56)
    assert placed.field == field
