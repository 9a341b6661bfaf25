"""Shapes of Object-CXR: areas and boxes known by hand, and what is no shape."""

import math

import numpy as np
import pytest

from radiograph.geometry.geometry import Box
from training.data.annotations import shapes
from training.data.annotations.masks import read_mask
from training.data.rows.dataset_files import AnnotationRefused


def test_a_rectangle_is_half_open() -> None:
    (shape,) = shapes.parse("0 2 1 5 3")
    assert shape.box == (2.0, 1.0, 5.0, 3.0)
    mask = shapes.draw([shape], 6, 8)
    assert mask.sum() == 3 * 2
    assert mask[1:3, 2:5].all()


def test_an_ellipse_has_its_area_and_stays_in_its_box() -> None:
    (shape,) = shapes.parse("1 20 30 120 90")
    mask = shapes.draw([shape], 128, 128)
    assert mask.sum() == pytest.approx(math.pi * 50 * 30, rel=0.01)
    ys, xs = np.nonzero(mask)
    assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (20, 30, 120, 90)
    assert not mask[30, 20]


def test_a_polygon_includes_its_outline() -> None:
    (shape,) = shapes.parse("2 10 10 30 10 30 20 10 20")
    assert shape.box == (10.0, 10.0, 30.0, 20.0)
    assert shapes.draw([shape], 40, 40).sum() == 21 * 11  # from pixel 10 to 30, and 10 to 20


def test_several_shapes_are_one_mask_and_several_boxes() -> None:
    found = shapes.parse("0 0 0 4 4;1 10 10 20 20;2 1 1 5 1 5 5;")
    assert [shape.kind for shape in found] == ["0", "1", "2"]
    union = shapes.draw(found, 32, 32)
    alone = [shapes.draw([shape], 32, 32) for shape in found]
    assert np.array_equal(union, alone[0] | alone[1] | alone[2])


def test_corners_may_be_in_any_order_and_an_empty_annotation_has_no_shape() -> None:
    assert shapes.parse("0 5 3 2 1")[0].box == (2.0, 1.0, 5.0, 3.0)
    assert shapes.parse("") == shapes.parse(" ; ") == ()


def test_shapes_are_clipped_at_the_edge_of_the_image() -> None:
    assert shapes.draw(shapes.parse("0 -5 -5 3 2"), 8, 8).sum() == 3 * 2
    assert shapes.draw(shapes.parse("2 4 4 60000 4 60000 60000 4 60000"), 8, 8).sum() == 16


def test_the_png_of_a_mask_round_trips() -> None:
    mask = shapes.draw(shapes.parse("1 1 1 6 7"), 9, 8)
    assert np.array_equal(read_mask(shapes.png(mask)) > 191, mask)


@pytest.mark.parametrize(
    "annotation",
    [
        "3 0 0 4 4",
        "rectangle 0 0 4 4",
        "0",
        "0 0 0 4",
        "0 0 0 4 4 4",
        "1 0 0 4 x",
        "0 0 0 nan 4",
        "0 0 0 inf 4",
        "0 0 0 1e300 4",
        "0 0 0 70000 4",
        "2 0 0 4 4",
        "2 0 0 4 4 8",
        "2 0 0 4 4 8 8 9",
        "2 0 0 4 nan 8 8",
        "0,0,0,4,4",
        "2" + " 1" * 30_000,
    ],
)
def test_unknown_or_incomplete_shapes_are_malformed(annotation: str) -> None:
    with pytest.raises(shapes.MalformedShape, match="malformed shape"):
        shapes.parse(annotation)


@pytest.mark.parametrize("annotation", ["0 3 3 3 9", "1 3 3 9 3", "2 1 1 5 1 9 1"])
def test_a_shape_without_an_area_is_refused(annotation: str) -> None:
    with pytest.raises(shapes.MalformedShape, match="without an area"):
        shapes.parse(annotation)


@pytest.mark.parametrize("annotation", ["0 8 0 9 4", "0 0 8 4 9", "1 -5 -5 0 4", "2 9 9 12 9 9 12"])
def test_a_shape_outside_the_image_is_refused(annotation: str) -> None:
    with pytest.raises(shapes.MalformedShape, match="outside of the image"):
        shapes.draw(shapes.parse(annotation), 8, 8)


def test_a_flood_of_shapes_is_refused() -> None:
    with pytest.raises(shapes.MalformedShape, match="too many"):
        shapes.parse("0 0 0 4 4;" * 100_000)


@pytest.mark.parametrize("box", [(0, 0, 10, 10), (-5, -5, 2, 2), (9, 9, 30, 30), (0, 0, 2, 1)])
def test_a_box_that_reaches_into_its_image_is_accepted(box: Box) -> None:
    shapes.check_box(box, rows=10, columns=10)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((10, 0, 20, 5), "outside its image"),
        ((-9, 0, 0, 5), "outside its image"),
        ((0, 12, 5, 15), "outside its image"),
        ((0.1, 0.2, 0.5, 0.9), "in fractions"),
    ],
)
def test_a_box_outside_its_image_or_in_fractions_is_refused(box: Box, message: str) -> None:
    with pytest.raises(AnnotationRefused, match=message):
        shapes.check_box(box, rows=10, columns=10)
