"""Figures with their intervals."""

import numpy as np
import pytest

from radiograph.manifest import Task
from training.evaluation.evaluators.estimates import (
    ImageMean,
    Quantity,
    estimate,
)
from training.evaluation.predictions import Prediction

DICE = Quantity("siim", Task.SEGMENT, "Pneumothorax", "dice")


def test_a_figure_has_the_interval_of_its_patients() -> None:
    values = np.array([0.2, 0.4, 0.6, 0.8])
    metric = estimate(["a", "b", "c", "d"], lambda n: float(n @ values / n.sum()), DICE)
    assert (metric.data, metric.split, metric.label, metric.metric) == (
        "siim", "test", "Pneumothorax", "dice",
    )  # fmt: skip
    assert (metric.value, metric.n) == (0.5, 4)
    assert 0.2 <= metric.low < 0.5 < metric.high <= 0.8


def test_an_interval_that_is_not_defined_is_the_figure_itself() -> None:
    """No resample of thirty patients draws each of them once."""
    patients = [str(number) for number in range(30)]
    metric = estimate(patients, lambda n: 0.25 if (n == 1).all() else float("nan"), DICE)
    assert (metric.low, metric.value, metric.high) == (0.25, 0.25, 0.25)


def test_images_without_a_value_do_not_count(predictions: list[Prediction]) -> None:
    mean = ImageMean()
    for prediction, value in zip(predictions, [0.5, float("nan"), 0.75, 1.0], strict=False):
        mean.add(prediction, value)
    metric = mean.figure(DICE).metric()
    assert (metric.value, metric.n) == (0.75, 3)
    assert metric.low == pytest.approx(0.5, abs=0.26)
    assert np.isnan(ImageMean().figure(DICE).metric().value)
