"""Thresholds of the checks, by the false alarms on sound radiographs of the validation split."""

import math
from collections.abc import Mapping

import numpy as np

from radiograph.manifest import HeadSpec
from radiograph.postprocess.activations import sigmoid
from training.evaluation.predictions import EvaluatedHead, Prediction
from training.metrics.arrays import Float64Array

FALSE_ALARMS = 0.01
"""Largest share of the sound radiographs of each data set that may raise a warning."""
_LOWEST, _HIGHEST = 0.05, 0.9999
"""Range of the thresholds; 1 would withhold the check."""
RULE = (
    f"at least {_LOWEST:g}, and for each check at most {FALSE_ALARMS:.0%} false alarms on the "
    "sound radiographs of each data set of the validation split"
)


class CheckCalibration:
    """Thresholds of one head of checks; its probabilities are not scaled."""

    def __init__(self, head: EvaluatedHead) -> None:
        """Args: head: head of the checks, before calibration."""
        self._head = head
        self._scores: dict[str, list[Float64Array]] = {}

    def add(self, prediction: Prediction) -> None:
        """Keep the probabilities of one frontal radiograph, as the service computes them."""
        logits = self._head.outputs(prediction)["logits"].astype(np.float64)
        self._scores.setdefault(prediction.row.table, []).append(sigmoid(logits))

    def spec(self) -> HeadSpec:
        """Return the manifest entry of the head with the chosen thresholds."""
        of_table = {name: np.stack(scores) for name, scores in self._scores.items()}
        labels = tuple(
            label.model_copy(update={"threshold": threshold(columns)})
            for k, label in enumerate(self._head.spec.labels)
            for columns in [{name: scores[:, k] for name, scores in of_table.items()}]
        )
        return self._head.spec.model_copy(update={"labels": labels, "threshold_rule": RULE})


def threshold(scores: Mapping[str, Float64Array]) -> float:
    """Return the lowest threshold with few enough false alarms in each data set, to four digits.

    Args:
        scores: probabilities of one check, of the sound radiographs of each data set.
    """
    lowest = [_LOWEST]
    for of_table in scores.values():
        allowed = math.floor(FALSE_ALARMS * len(of_table))
        # The highest score that must stay below the threshold, and the next number above it.
        highest = float(np.sort(of_table)[::-1][allowed])
        lowest.append((math.floor(highest * 1e4) + 1) / 1e4)
    return min(max(lowest), _HIGHEST)
