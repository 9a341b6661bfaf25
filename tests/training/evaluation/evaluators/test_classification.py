"""Metrics of all labels of a classification head."""

import numpy as np
import pytest

from training.evaluation.evaluators.classification import of_all_labels
from training.metrics.arrays import once


def test_exclusive_findings_are_measured_by_their_highest_score() -> None:
    scores = np.array([[0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [0.2, 0.2, 0.6], [0.9, 0.05, 0.05]])
    positive = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]], dtype=bool)
    known = np.ones_like(positive)
    together = of_all_labels(scores, known, positive, exclusive=True)
    assert together["argmax accuracy"](once(4)) == pytest.approx(2 / 3)  # the last has no class
    assert set(of_all_labels(scores, known, positive, exclusive=False)) == {"macro auroc"}
    assert of_all_labels(scores[:, :1], known[:, :1], positive[:, :1], exclusive=False) == {}
