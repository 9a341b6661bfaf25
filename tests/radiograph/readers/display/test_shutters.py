from typing import Any

import pytest

from radiograph.geometry.shutter import Shutter
from radiograph.preprocess import PreprocessSpec, preprocess
from radiograph.readers import dicom as reader
from tests.builders.files import dicom_files as files
from tests.builders.files.dicom_files import codes, ramp

STORED = ramp(100, 80)
RECTANGLE = {
    "ShutterLeftVerticalEdge": "11",
    "ShutterRightVerticalEdge": "70",
    "ShutterUpperHorizontalEdge": "6",
    "ShutterLowerHorizontalEdge": "90",
}
CIRCLE = {"CenterOfCircularShutter": "50\\40", "RadiusOfCircularShutter": "30"}
POLYGON = {"VerticesOfThePolygonalShutter": "1\\1\\1\\80\\100\\40"}


def read(shape: str | None, **attributes: str) -> Any:
    made = files.dataset(STORED, ShutterShape=shape)
    for keyword, value in attributes.items():
        files.put(made, keyword, value, "LO")  # so that broken values can be written
    return reader.read(files.write(made, STORED.tobytes()))


@pytest.mark.parametrize(
    ("shape", "attributes", "expected"),
    [
        ("RECTANGULAR", RECTANGLE, Shutter(rectangle=(10.0, 5.0, 70.0, 90.0))),
        ("CIRCULAR", CIRCLE, Shutter(circle=(39.5, 49.5, 30.0))),
        ("POLYGONAL", POLYGON, Shutter(polygon=((0.5, 0.5), (79.5, 0.5), (39.5, 99.5)))),
        (
            "RECTANGULAR\\CIRCULAR",
            RECTANGLE | CIRCLE,
            Shutter(rectangle=(10.0, 5.0, 70.0, 90.0), circle=(39.5, 49.5, 30.0)),
        ),
        (None, RECTANGLE, None),
        ("", RECTANGLE, None),
    ],
)
def test_a_shutter_is_read_in_coordinates_of_pixels(
    shape: str | None, attributes: dict[str, str], expected: Shutter | None
) -> None:
    radiograph = read(shape, **attributes)
    assert radiograph.shutter == expected
    assert radiograph.warnings == ()


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ("RECTANGULAR", {}),
        ("RECTANGULAR", RECTANGLE | {"ShutterLeftVerticalEdge": "x"}),
        ("RECTANGULAR", RECTANGLE | {"ShutterLeftVerticalEdge": "NaN"}),
        ("RECTANGULAR", RECTANGLE | {"ShutterLeftVerticalEdge": "1e300"}),
        ("RECTANGULAR", RECTANGLE | {"ShutterRightVerticalEdge": "0"}),
        ("RECTANGULAR", RECTANGLE | {"ShutterRightVerticalEdge": "12"}),
        ("CIRCULAR", CIRCLE | {"CenterOfCircularShutter": "50"}),
        ("CIRCULAR", CIRCLE | {"RadiusOfCircularShutter": "-60"}),
        ("POLYGONAL", {"VerticesOfThePolygonalShutter": "1\\1\\1\\80"}),
        ("POLYGONAL", {"VerticesOfThePolygonalShutter": "1\\1\\1\\80\\100\\40\\7"}),
        ("POLYGONAL", {"VerticesOfThePolygonalShutter": "9\\9\\9\\9\\9\\9"}),
        ("BITMAP", {}),
        ("?", RECTANGLE),
    ],
)
def test_an_unusable_shutter_is_left_out_with_a_warning(
    shape: str, attributes: dict[str, str]
) -> None:
    radiograph = read(shape, **attributes)
    assert radiograph.shutter is None
    assert codes(radiograph.warnings) == ["shutter_unusable"]


def test_the_usable_shapes_of_a_shutter_are_kept() -> None:
    radiograph = read("CIRCULAR\\RECTANGULAR", **RECTANGLE)
    assert radiograph.shutter == Shutter(rectangle=(10.0, 5.0, 70.0, 90.0))
    assert codes(radiograph.warnings) == ["shutter_unusable"]


def test_the_number_of_vertices_is_bounded() -> None:
    vertices = "\\".join(["1\\1\\1\\80\\99\\80\\99\\1"] * 10_000)
    shapes = "\\".join(["POLYGONAL"] * 200)
    radiograph = read(shapes, VerticesOfThePolygonalShutter=vertices)
    assert radiograph.shutter is None or len(radiograph.shutter.polygon) <= 1024
    tensor, _ = preprocess(radiograph, PreprocessSpec(version=2, size_px=64))
    assert tensor.max() == 1


def test_the_displayed_pixels_are_those_without_a_shutter() -> None:
    """Only version 2 of the preprocessing hides what a shutter covers."""
    assert (read("CIRCULAR", **CIRCLE).pixels == read(None).pixels).all()
