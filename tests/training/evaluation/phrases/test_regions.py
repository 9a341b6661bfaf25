"""Boxes of phrases are matched with true ones, each once."""

import pytest

from radiograph.geometry.geometry import Box
from training.evaluation.phrases.regions import matched_boxes

A, B = (0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0)


@pytest.mark.parametrize(
    ("predicted", "truth", "hits"),
    [
        ([], [A], 0),
        ([A], [], 0),
        ([A], [A, B], 1),
        ([A, B], [B, A], 2),
        ([A, A], [A], 1),  # a second box of the same place is false
        ([(0.0, 0.0, 10.0, 3.1)], [A], 1),  # IoU 0.31
        ([(0.0, 0.0, 10.0, 2.9)], [A], 0),
    ],
)
def test_a_true_box_is_found_once(predicted: list[Box], truth: list[Box], hits: int) -> None:
    assert matched_boxes(predicted, truth) == hits
