"""Error of the cardiothoracic ratio against the data set's own value."""

from dataclasses import replace

import numpy as np
import pytest

from radiograph.geometry.geometry import Box
from training.evaluation.evaluators.cardiothoracic import RatioFigures
from training.evaluation.predictions import Prediction

SERVED: dict[str, Box | None] = {
    "Right lung": (0, 0, 20, 40),
    "Left lung": (30, 0, 50, 40),
    "Heart": (15, 20, 35, 40),
}  # 20 of 50 pixels: 0.4


def figures(*pairs: tuple[Prediction, dict[str, Box | None]]) -> dict[str, float]:
    kept = RatioFigures("set")
    for prediction, served in pairs:
        kept.add(prediction, served)
    found = [figure.metric() for figure in kept.figures()]
    assert {(m.data, m.label) for m in found} <= {("set", "Cardiothoracic ratio")}
    return {metric.metric: metric.value for metric in found}


def with_own(prediction: Prediction, value: str) -> Prediction:
    row = replace(prediction.row, extra={"ctr_from_masks": value})
    return replace(prediction, row=row, masks={})


def test_errors_are_those_against_the_value_of_the_set(predictions: list[Prediction]) -> None:
    first, second = with_own(predictions[0], "0.45"), with_own(predictions[1], "0.38")
    found = figures((first, SERVED), (second, SERVED))
    expected = {"measured": 1.0, "absolute error": 0.035, "bias": -0.015}
    assert found == pytest.approx(expected)


def test_an_image_without_the_masks_counts_as_not_measured(predictions: list[Prediction]) -> None:
    known = with_own(predictions[0], "0.4")
    found = figures((known, SERVED), (known, SERVED | {"Heart": None}))
    assert found == pytest.approx({"measured": 0.5, "absolute error": 0.0, "bias": 0.0})


def test_a_set_without_the_value_is_measured_by_its_masks(predictions: list[Prediction]) -> None:
    masks = {name: np.zeros((64, 64), dtype=bool) for name in SERVED}
    masks["Right lung"][:, 10:20] = masks["Left lung"][:, 30:50] = True
    masks["Heart"][:, 20:40] = True  # 20 of 40 pixels: 0.5
    drawn = replace(predictions[0], masks=masks)
    assert figures((drawn, SERVED))["bias"] == pytest.approx(-0.1)
    assert figures((replace(predictions[0], masks={}), SERVED)) == {}


@pytest.mark.parametrize("text", ["", "unknown", "nan", "inf", "0,45"])
def test_a_value_that_is_no_number_is_not_known(predictions: list[Prediction], text: str) -> None:
    assert figures((with_own(predictions[0], text), SERVED)) == {}
