"""Thresholds allow one false alarm in a hundred sound radiographs, in each data set."""

import numpy as np
import pytest

from training.evaluation.calibration.check_thresholds import threshold
from training.metrics.arrays import Float64Array

LOW = np.full(99, 0.1)


@pytest.mark.parametrize(
    ("scores", "wanted"),
    [
        ({"a": LOW}, 0.1001),
        ({"a": np.full(99, 0.01)}, 0.05),  # never lower
        ({"a": np.array([0.2, 0.6, 0.61234])}, 0.6124),  # none may raise one
        ({"a": np.append(LOW, 0.8)}, 0.1001),  # of a hundred, one may
        ({"a": np.append(LOW, 0.8), "b": np.array([0.7, 0.3])}, 0.7001),  # each set counts
        ({"a": np.array([0.99999])}, 0.9999),  # 1 would withhold the check
        ({}, 0.05),
    ],
)
def test_the_lowest_threshold_with_few_enough_false_alarms(
    scores: dict[str, Float64Array], wanted: float
) -> None:
    assert threshold(scores) == pytest.approx(wanted, abs=1e-9)
