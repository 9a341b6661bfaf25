"""Pixel spacing: which attribute is used, and the warnings that come with it."""

from typing import Any

import pytest

from radiograph.image import Radiograph
from radiograph.readers import dicom as reader
from tests.builders.files import dicom_files as files
from tests.builders.files.dicom_files import codes, dicom, ramp


def radiograph(**attributes: Any) -> Radiograph:
    return reader.read(dicom(ramp(), **attributes))


def test_pixel_spacing_is_preferred_to_imager_pixel_spacing() -> None:
    made = radiograph(PixelSpacing=[0.2, 0.2], ImagerPixelSpacing=[0.14, 0.14])
    assert made.spacing_mm == (0.2, 0.2)
    assert made.warnings == ()


@pytest.mark.parametrize(
    ("calibrated", "at_detector"),
    [
        (["0.14", "0.14"], ["0.14", "0.14"]),
        ([".35", ".35"], [".3500001", ".3500001"]),
        (["0.143", "0.143"], ["0.1430625", "0.1430625"]),
        (["1.4E-1", "0.14"], ["0.14000000059605", "0.14"]),
    ],
)
def test_spacing_that_repeats_the_detector_s_up_to_rounding_is_at_the_detector(
    calibrated: list[str], at_detector: list[str]
) -> None:
    made = radiograph(PixelSpacing=calibrated, ImagerPixelSpacing=at_detector)
    assert codes(made.warnings) == ["spacing_at_detector"]


@pytest.mark.parametrize("calibrated", [["0.139", "0.139"], ["0.14", "0.1395"]])
def test_another_spacing_than_the_detector_s_is_calibrated(calibrated: list[str]) -> None:
    made = radiograph(PixelSpacing=calibrated, ImagerPixelSpacing=["0.14", "0.14"])
    assert made.warnings == ()


@pytest.mark.parametrize("unknown", [[0, 0], [-1, -1], [0.2], "", None])
def test_imager_pixel_spacing_stands_in_with_a_warning(
    unknown: Any,
) -> None:
    made = radiograph(PixelSpacing=unknown, ImagerPixelSpacing=[0.14, 0.14])
    assert made.spacing_mm == (0.14, 0.14)
    assert codes(made.warnings) == ["spacing_at_detector"]


def test_the_estimated_magnification_is_named_and_not_applied() -> None:
    made = radiograph(ImagerPixelSpacing=[0.14, 0.14], EstimatedRadiographicMagnificationFactor=1.2)
    assert made.spacing_mm == (0.14, 0.14)
    assert "1.20" in made.warnings[0]


def test_nominal_scanned_pixel_spacing_is_used_without_a_warning() -> None:
    made = radiograph(NominalScannedPixelSpacing=[0.175, 0.175])
    assert made.spacing_mm == (0.175, 0.175)
    assert made.warnings == ()


@pytest.mark.parametrize("value", ["1e-30", "1e30", "inf", "nan", "wide"])
def test_an_absurd_spacing_is_unknown(value: str) -> None:
    made = files.dataset(ramp())
    files.put(made, "PixelSpacing", [value, value], "LO")
    assert reader.read(files.write(made, ramp().tobytes())).spacing_mm is None


@pytest.mark.parametrize("attributes", [{"PixelSpacing": [0.2, 0.1]}, {"PixelAspectRatio": [2, 1]}])
def test_pixels_that_are_not_square_give_a_warning(attributes: dict[str, Any]) -> None:
    assert codes(radiograph(**attributes).warnings) == ["anisotropic_pixels"]


def test_the_aspect_ratio_is_used_where_there_is_no_spacing() -> None:
    assert radiograph(PixelAspectRatio=[2, 1]).pixel_sides == (2, 1)
    both = radiograph(PixelAspectRatio=[2, 1], PixelSpacing=[0.2, 0.2])
    assert both.pixel_sides == (0.2, 0.2)
    assert both.warnings == ()


@pytest.mark.parametrize("value", ["0", "-1", "one", ""])
def test_an_absurd_aspect_ratio_is_unknown(value: str) -> None:
    made = files.dataset(ramp())
    files.put(made, "PixelAspectRatio", [value, "2"], "LO")
    assert reader.read(files.write(made, ramp().tobytes())).pixel_sides is None


def test_the_distance_between_rows_comes_first() -> None:
    assert radiograph(PixelSpacing=[0.3, 0.1]).spacing_mm == (0.3, 0.1)
