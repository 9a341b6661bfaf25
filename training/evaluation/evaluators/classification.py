"""Evaluation of findings: ranking, and the quality of the chosen thresholds and temperature.

probabilities of labelled images --add--> of_one_label, of_all_labels --> figures
"""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from radiograph.manifest import Task
from radiograph.postprocess import heads
from training.evaluation.evaluators.estimates import ALL_LABELS, Evaluator, Figure, Quantity
from training.evaluation.predictions import EvaluatedHead, Prediction
from training.metrics import (
    Ranked,
    Statistic,
    argmax_accuracy,
    calibration_error,
    f1,
    macro,
    share_right,
)
from training.metrics.arrays import BoolArray, Float64Array

Statistics = dict[str, Statistic]


class ClassificationEvaluator(Evaluator):
    """Calibrated probabilities of every finding, and the truth where it is known."""

    def __init__(self, head: EvaluatedHead, data: str) -> None:
        """Args: head: calibrated head of the findings; data: name of the data set."""
        self._head, self._data = head.with_withheld, data
        self._patients: list[str] = []
        self._scores: list[list[float]] = []
        self._truths: list[Mapping[str, bool]] = []

    def add(self, prediction: Prediction) -> None:
        """Keep the probabilities of one radiograph, if it is labelled."""
        known = prediction.row.findings
        if not any(label.name in known for label in self._head.spec.labels):
            return
        found = heads.classify(self._head.spec, self._head.outputs(prediction))
        self._patients.append(prediction.row.patient_id)
        self._scores.append([finding.probability for finding in found])
        self._truths.append(known)

    def figures(self) -> Iterator[Figure]:
        """Yield the figures of each label, then those of all together."""
        if not self._patients:
            return
        names = [label.name for label in self._head.spec.labels]
        # each N x K: images x labels
        scores = np.array(self._scores)
        called = heads.positive(self._head.spec, scores)  # as it is served, subtypes included
        known = np.array([[name in each for name in names] for each in self._truths])
        positive = np.array([[each.get(name, False) for name in names] for each in self._truths])
        for k, label in enumerate(self._head.spec.labels):
            rows = np.flatnonzero(known[:, k])
            each = of_one_label(scores[rows, k], called[rows, k], positive[rows, k], label.name)
            patients = [self._patients[i] for i in rows]
            for name, statistic in each.items():
                yield Figure(self._quantity(label.name, name), patients, statistic)
        exclusive = self._head.model.config.exclusive
        for name, statistic in of_all_labels(scores, known, positive, exclusive=exclusive).items():
            yield Figure(self._quantity(ALL_LABELS, name), self._patients, statistic)

    def _quantity(self, label: str, metric: str) -> Quantity:
        return Quantity(self._data, Task.CLASSIFY, label, metric)


def of_one_label(
    scores: Float64Array, called: BoolArray, positive: BoolArray, label: str
) -> Statistics:
    """Return the statistics of one label, by metric.

    Args:
        scores: N probabilities of the images whose truth is known.
        called: N bool, the answer.
        positive: N bool, the truth.
        label: name of the label, for error messages.
    """
    everyone = np.ones_like(positive)
    return {
        "auroc": Ranked(scores, positive, label).area,
        "sensitivity": partial(share_right, called, positive, positive),
        "specificity": partial(share_right, called, positive, ~positive),
        "f1": partial(f1, called, positive),
        "accuracy": partial(share_right, called, positive, everyone),
        "ece": partial(calibration_error, scores, positive),
        "ece, equal mass": partial(calibration_error, scores, positive, bins="equal_mass"),
    }


def of_all_labels(
    scores: Float64Array, known: BoolArray, positive: BoolArray, *, exclusive: bool
) -> Statistics:
    """Return the statistics of all labels together, by metric; a single label has none.

    The macro AUROC is the mean over the labels. If the findings exclude each other, the prediction
    is the one with the highest probability, and images without exactly one true finding do not
    count.

    Args:
        scores: N x K probabilities.
        known: N x K bool, False where the truth is not known.
        positive: N x K bool, the truth.
        exclusive: True if the findings exclude each other.
    """
    if scores.shape[1] < 2:
        return {}
    ranked = [
        (rows, Ranked(scores[rows, k], positive[rows, k]).area)
        for k, rows in enumerate(np.flatnonzero(column) for column in known.T)
    ]
    found: Statistics = {"macro auroc": partial(macro, ranked)}
    if exclusive:
        one = known.all(axis=1) & (positive.sum(axis=1) == 1)
        classes: NDArray[np.intp] = positive.argmax(axis=1)
        found["argmax accuracy"] = lambda counts: argmax_accuracy(scores, classes, counts * one)
    return found
