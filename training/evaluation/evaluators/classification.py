"""Findings: AUROC of each and of all, and what the chosen thresholds and temperature are worth."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from radiograph.manifest import HeadSpec, Metric, Task
from radiograph.postprocess import heads
from training.data.rows.labels import truth
from training.evaluation.evaluators.estimates import ALL_LABELS, figure
from training.evaluation.predictions import Prediction, head_output
from training.evaluation.trained_model import TrainedModel
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


class FindingsMeasure:
    """Calibrated probabilities of every finding, and the truth as far as it is known."""

    def __init__(self, model: TrainedModel, head: tuple[str, HeadSpec], data: str) -> None:
        """Measure a head on one data set."""
        self._model, self._data = model, data
        self._name, self._head = head
        self._patients: list[str] = []
        self._scores: list[list[float]] = []
        self._truths: list[Mapping[str, bool]] = []

    def add(self, seen: Prediction) -> None:
        """Keep the probabilities of one radiograph that is labelled."""
        known = truth(seen.row)
        if not any(label.name in known for label in self._head.labels):
            return
        found = heads.classify(self._head, head_output(self._model, self._name, seen))
        self._patients.append(seen.row.patient_id)
        self._scores.append([finding.probability for finding in found])
        self._truths.append(known)

    def metrics(self) -> Iterator[Metric]:
        """Of each label, then of all together."""
        if not self._patients:
            return
        names = [label.name for label in self._head.labels]
        scores = np.array(self._scores)
        known = np.array([[name in each for name in names] for each in self._truths])
        positive = np.array([[each.get(name, False) for name in names] for each in self._truths])
        for k, label in enumerate(self._head.labels):
            rows = np.flatnonzero(known[:, k])
            each = of_one_label(scores[rows, k], positive[rows, k], label.threshold, label.name)
            patients = [self._patients[i] for i in rows]
            for name, statistic in each.items():
                yield figure(patients, statistic, (self._data, Task.CLASSIFY, label.name, name))
        exclusive = self._model.config.exclusive
        for name, statistic in of_all_labels(scores, known, positive, exclusive=exclusive).items():
            yield figure(self._patients, statistic, (self._data, Task.CLASSIFY, ALL_LABELS, name))


def of_one_label(
    scores: Float64Array, positive: BoolArray, threshold: float, label: str
) -> Statistics:
    """Metric -> statistic of the images whose truth is known."""
    called, everyone = scores >= threshold, np.ones_like(positive)
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
    """Metric -> statistic of all labels together, N x K; none of a single label.

    The macro AUROC is the mean over the labels. Of findings that exclude each other the one with
    the highest probability is the answer; images without exactly one true finding do not count.
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
