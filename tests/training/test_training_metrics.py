"""Metrics against other implementations and by hand."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from training.metrics import (
    BoxesOfImage,
    auroc,
    average_precision,
    bootstrap,
    dice,
    fit_temperature,
    iou,
    youden_threshold,
)

UNIT = (0.0, 0.0, 1.0, 1.0)
FAR = (5.0, 5.0, 6.0, 6.0)


@pytest.mark.parametrize("levels", [3, 1000])
def test_auroc_agrees_with_scikit_learn_ties_included(levels: int) -> None:
    rng = np.random.default_rng(levels)
    positive = rng.random(200) < 0.3
    scores = np.round((rng.random(200) + 0.4 * positive) * levels) / levels
    assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))


def test_auroc_of_one_class_is_not_defined() -> None:
    assert np.isnan(auroc(np.array([0.1, 0.2]), np.array([True, True])))


def test_average_precision_by_hand_with_an_image_that_has_no_prediction() -> None:
    images = [
        BoxesOfImage((0.9, 0.8), (UNIT, FAR), (UNIT,)),
        BoxesOfImage((), (), (UNIT,)),
        BoxesOfImage((0.95,), (UNIT,), ()),
    ]
    assert average_precision(images, 0.5) == pytest.approx(0.5 * (1 / 2))


def test_a_true_box_is_found_only_once() -> None:
    twice = [BoxesOfImage((0.9, 0.8), (UNIT, UNIT), (UNIT, FAR))]
    assert average_precision(twice, 0.5) == pytest.approx(0.5)


def test_average_precision_without_predictions_is_zero_and_without_truth_undefined() -> None:
    assert average_precision([BoxesOfImage((), (), (UNIT,))], 0.5) == 0.0
    assert np.isnan(average_precision([BoxesOfImage((0.5,), (UNIT,), ())], 0.5))


def test_youden_cuts_between_the_classes() -> None:
    scores, positive = np.array([0.1, 0.2, 0.6, 0.8]), np.array([False, False, True, True])
    assert youden_threshold(scores, positive) == pytest.approx(0.4)
    assert youden_threshold(scores, np.ones(4, dtype=bool)) == 0.5


def test_the_interval_contains_the_value_and_is_the_same_again() -> None:
    values = np.random.default_rng(0).random(60)
    patients = [str(i // 2) for i in range(60)]
    found = bootstrap(lambda i: float(values[i].mean()), patients, repeats=300)
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(values.mean())
    assert found.n == 60
    assert found == bootstrap(lambda i: float(values[i].mean()), patients, repeats=300)


def test_patients_are_resampled_and_not_images() -> None:
    values = np.array([0.0, 1.0, 0.0, 1.0])
    found = bootstrap(lambda i: float(values[i].mean()), ["a", "a", "b", "b"], repeats=50)
    assert found.low == found.high == 0.5


def test_dice_counts_only_what_is_annotated() -> None:
    predicted, truth = np.array([[1, 1, 0, 1]], dtype=bool), np.array([[1, 0, 0, 0]], dtype=bool)
    counted = np.array([[1, 1, 1, 0]], dtype=bool)
    assert dice(predicted, truth) == pytest.approx(0.5)
    assert dice(predicted, truth, counted) == pytest.approx(2 / 3)
    assert dice(truth & False, truth & False) == 1.0


def test_iou_by_hand() -> None:
    assert iou(UNIT, (0.5, 0.0, 1.5, 1.0)) == pytest.approx(1 / 3)
    assert iou(UNIT, FAR) == 0.0


def test_the_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, 5000)
    positive = rng.random(5000) < 1 / (1 + np.exp(-honest))
    assert fit_temperature(3 * honest, positive) == pytest.approx(3, rel=0.1)
