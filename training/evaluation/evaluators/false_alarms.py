"""False alarms of the checks: the share of sound radiographs that would get a warning."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from radiograph.manifest import CHECK
from radiograph.postprocess import heads
from training.evaluation.evaluators.estimates import Evaluator, Figure, Quantity
from training.evaluation.predictions import EvaluatedHead, Prediction
from training.metrics import weighted_mean


class FalseAlarmEvaluator(Evaluator):
    """Warnings of each check on the radiographs of one data set, which are as they should be."""

    def __init__(self, head: EvaluatedHead, data: str) -> None:
        """Args: head: calibrated head of the checks; data: name of the data set."""
        self._head, self._data = head, data
        self._patients: list[str] = []
        self._raised: list[dict[str, bool]] = []

    def add(self, prediction: Prediction) -> None:
        """Keep the warnings of one radiograph."""
        found = heads.classify(self._head.spec, self._head.outputs(prediction))
        self._patients.append(prediction.row.patient_id)
        self._raised.append({check.name: check.positive for check in found})

    def figures(self) -> Iterator[Figure]:
        """Yield the share of each check that is not withheld."""
        for label in self._head.spec.labels:
            if label.withheld:
                continue
            raised = np.array([each[label.name] for each in self._raised])
            quantity = Quantity(self._data, CHECK, label.name, "false alarms")
            yield Figure(quantity, self._patients, partial(weighted_mean, raised))
