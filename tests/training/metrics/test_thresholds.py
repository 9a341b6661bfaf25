"""Decision thresholds and temperature."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from tests.builders.training.parts.random_scores import random_scores
from training.metrics import (
    balanced_threshold,
    best_f1_threshold,
    fit_temperature,
    sensitivity_threshold,
    youden_threshold,
)


def test_youden_cuts_between_the_classes() -> None:
    scores, positive = np.array([0.1, 0.2, 0.6, 0.8]), np.array([False, False, True, True])
    assert youden_threshold(scores, positive) == pytest.approx(0.4)
    assert youden_threshold(scores, np.ones(4, dtype=bool)) == 0.5


def test_groups_count_equally_whatever_their_size() -> None:
    few, many = np.array([0.3]), np.full(100, 0.8)
    assert balanced_threshold([few, many], [np.full(50, 0.2)]) == pytest.approx(0.25)
    assert balanced_threshold([few, many, many], [np.array([0.2]), np.full(9, 0.35)]) > 0.35


def test_a_target_sensitivity_is_reached_by_the_highest_threshold_that_can() -> None:
    scores, positive = np.array([0.1, 0.3, 0.5, 0.7]), np.array([True, False, True, True])
    assert sensitivity_threshold(scores, positive, 0.6) == pytest.approx(0.4)
    assert sensitivity_threshold(scores, positive, 1.0) == pytest.approx(0.1)
    assert sensitivity_threshold(scores, positive & False, 0.9) == 0.5
    with pytest.raises(ValueError, match="lies in"):
        sensitivity_threshold(scores, positive, 0.0)


def test_the_threshold_with_the_best_f1_is_found() -> None:
    scores, positive = random_scores(4)
    ours = f1_score(positive, scores >= best_f1_threshold(scores, positive))
    assert ours == max(f1_score(positive, scores >= cut) for cut in scores)
    assert best_f1_threshold(scores, positive & False) == 0.5


def test_the_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, 5000)
    positive = rng.random(5000) < 1 / (1 + np.exp(-honest))
    assert fit_temperature(3 * honest, positive) == pytest.approx(3, rel=0.1)
    assert fit_temperature(np.zeros(0), np.zeros(0, dtype=bool)) == 1.0
