"""Boxes: overlap, non-maximum suppression and the bounds of a mask."""

import numpy as np
import pytest

from radiograph.geometry.geometry import Box
from radiograph.postprocess.boxes import areas, bounds, iou, pairwise_iou, suppress_overlapping


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1.0),
        ((0, 0, 2, 2), (1, 1, 3, 3), 1 / 7),
        ((0, 0, 4, 4), (1, 1, 3, 3), 0.25),
        ((0, 0, 2, 2), (2, 0, 4, 2), 0.0),  # half-open boxes that touch share nothing
        ((1, 1, 1, 1), (1, 1, 1, 1), 0.0),  # no area at all
    ],
)
def test_iou_of_two_boxes(a: Box, b: Box, expected: float) -> None:
    assert iou(a, b) == pytest.approx(expected)
    assert iou(b, a) == iou(a, b)


def test_pairwise_iou_has_a_row_for_each_first_and_a_column_for_each_second_box() -> None:
    first = np.array([[0.0, 0, 2, 2], [4, 4, 6, 6]])
    second = np.array([[0.0, 0, 2, 2], [1, 1, 3, 3], [5, 4, 7, 6]])
    expected = [[1, 1 / 7, 0], [0, 0, 1 / 3]]
    np.testing.assert_allclose(pairwise_iou(first, second), expected)


def test_areas() -> None:
    np.testing.assert_array_equal(areas(np.array([[0.0, 0, 2, 3], [1, 1, 1, 5]])), [6, 0])


def test_suppression_keeps_the_better_of_two_boxes_that_overlap_too_much() -> None:
    boxes = np.array([[0.0, 0, 2, 2], [0, 0, 2, 1.9], [0, 0, 2, 1], [5, 5, 6, 6]])
    assert suppress_overlapping(boxes, 0.5) == [0, 2, 3]  # an IoU of just 0.5 is allowed


def test_suppression_of_no_box_keeps_none() -> None:
    assert suppress_overlapping(np.empty((0, 4)), 0.5) == []


def test_bounds_are_half_open() -> None:
    mask = np.zeros((5, 7), dtype=np.bool_)
    mask[1, 2] = mask[3, 5] = True
    assert bounds(mask) == (2, 1, 6, 4)


def test_an_empty_mask_has_no_bounds() -> None:
    assert bounds(np.zeros((3, 3), dtype=np.bool_)) is None
