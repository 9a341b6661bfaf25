"""Regions that a phrase is compared with: masks, or boxes of findings."""

from dataclasses import replace

import numpy as np
import pytest

from tests.builders.training.runs.tiny_runs import SIZE_PX
from training.evaluation.evaluators.grounding import region_figures
from training.evaluation.phrases.regions import true_region
from training.evaluation.predictions import Prediction


@pytest.fixture
def opacity(predictions: list[Prediction]) -> Prediction:
    """The radiograph with the box of an opacity."""
    return predictions[0]


def test_boxes_of_a_finding_are_filled_and_kept(opacity: Prediction) -> None:
    region = true_region(opacity, "Lung opacity")
    assert region is not None
    assert region.boxes == ((10.0, 12.0, 24.0, 30.0),)
    assert region.mask[12:30, 10:24].all()
    assert region.mask.sum() == 18 * 14


def test_a_mask_has_priority_over_boxes_and_gives_one_around_each_part(opacity: Prediction) -> None:
    mask = np.zeros((SIZE_PX, SIZE_PX), dtype=bool)
    mask[2:4, 5:9] = mask[40:50, 40:50] = True
    region = true_region(replace(opacity, masks={"Lung opacity": mask}), "Lung opacity")
    assert region is not None
    assert region.boxes == ((5.0, 2.0, 9.0, 4.0), (40.0, 40.0, 50.0, 50.0))
    assert np.array_equal(region.mask, mask)


def test_an_organ_is_never_compared_with_its_box(opacity: Prediction) -> None:
    assert true_region(opacity, "Left lung") is not None
    assert "Left lung" in opacity.boxes
    assert true_region(replace(opacity, masks={}), "Left lung") is None


def test_a_structure_that_is_absent_or_not_known_has_no_region(opacity: Prediction) -> None:
    empty = np.zeros((SIZE_PX, SIZE_PX), dtype=bool)
    assert true_region(opacity, "Pneumothorax") is None
    assert true_region(replace(opacity, boxes={"Lung opacity": []}), "Lung opacity") is None
    assert true_region(replace(opacity, masks={"Lung opacity": empty}), "Lung opacity") is None
    outside = {"Lung opacity": [(200.0, 200.0, 300.0, 300.0), (-9.0, -9.0, -1.0, -1.0)]}
    assert true_region(replace(opacity, boxes=outside), "Lung opacity") is None


def test_a_region_is_measured_by_hand(opacity: Prediction) -> None:
    region = true_region(opacity, "Lung opacity")
    assert region is not None
    heat = np.where(region.mask, 0.9, 0.1).astype(np.float32)
    heat[40:58, 40:54] = 0.9  # as large again, elsewhere
    found = region_figures(heat, 0.45, region, np.ones_like(region.mask))
    assert found["iou"] == pytest.approx(1 / 2)
    assert found["dice"] == pytest.approx(2 / 3)
    assert found["recall"] == 1.0
    assert found["cnr"] > 1
