"""Distances between the answers of two versions, by kind of output."""

import numpy as np
import pytest

from radiograph.postprocess.grounding import Grounding
from radiograph.postprocess.heads import Detection, Finding, Mask
from service.dataplane.output_comparison import differences
from tests.builders.service.results.results import result


def mask(*cells: int) -> Mask:
    pixels = np.zeros(4, dtype=bool)
    pixels[list(cells)] = True
    return Mask("lung", None, pixels.reshape(2, 2), len(cells), None, None)


def test_findings_are_compared_by_name() -> None:
    one = (Finding("a", None, 0.2, 0.5, False), Finding("b", None, 0.9, 0.5, True))
    other = (Finding("b", None, 0.6, 0.5, True), Finding("a", None, 0.3, 0.5, False))
    assert differences(result(findings=one), result(findings=other)) == {
        "findings": pytest.approx(0.3)
    }


def test_labels_without_a_partner_are_counted() -> None:
    one = (Finding("a", None, 0.2, 0.5, False), Finding("b", None, 0.9, 0.5, True))
    found = differences(result(findings=one), result(findings=one[:1]))
    assert found == {"findings": 0.0, "unmatched": 1.0}


@pytest.mark.parametrize(
    ("one", "other", "loss"),
    [
        ((0, 1), (0, 1), 0.0),
        ((0, 1), (1, 2), 0.5),
        ((0,), (1,), 1.0),
        ((), (), 0.0),
        ((), (1,), 1.0),
    ],
)
def test_masks_are_compared_by_dice(
    one: tuple[int, ...], other: tuple[int, ...], loss: float
) -> None:
    found = differences(result(masks=(mask(*one),)), result(masks=(mask(*other),)))
    assert found == {"masks": pytest.approx(loss)}


def test_boxes_are_compared_by_the_iou_of_the_best_ones() -> None:
    best = Detection("a", None, 0.9, (0, 0, 2, 2))
    worse = Detection("a", None, 0.3, (8, 8, 9, 9))
    half = Detection("a", None, 0.8, (0, 0, 2, 1))
    found = differences(result(detections=(worse, best)), result(detections=(half,)))
    assert found == {"boxes": pytest.approx(0.5)}
    assert differences(result(detections=(best,)), result(detections=())) == {"boxes": 1.0}


def test_phrases_are_compared_by_similarity_and_heatmap() -> None:
    one = Grounding("left", "aligned", 0.5, np.zeros((2, 2), np.float32))
    other = Grounding("left", "aligned", 0.8, np.full((2, 2), 0.25, np.float32))
    found = differences(result(groundings=(one,)), result(groundings=(other,)))
    assert found == {"phrases": pytest.approx(0.3), "heatmaps": 0.25}


def test_outputs_of_only_one_answer_are_not_compared() -> None:
    assert differences(result(findings=()), result(masks=())) == {}
