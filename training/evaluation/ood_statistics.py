"""Embedding statistics of the training data, for the out-of-domain score."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from sklearn.covariance import LedoitWolf

from training.data.rows.dataset_files import DataError
from training.evaluation.predictions import Prediction
from training.metrics.arrays import FloatArray

USUAL_SHARE = 99.0
"""Percent of the validation split that must count as usual."""


@dataclass(frozen=True)
class Statistics:
    """Mean (D) and precision (D x D) of the global features, and the largest usual score."""

    mean: FloatArray
    precision: FloatArray
    threshold: float
    threshold_rule: str

    def score(self, features: FloatArray) -> float:
        """Mahalanobis distance over sqrt(D) of one image's features (D)."""
        away = features.astype(np.float64) - self.mean
        squared = float(away @ self.precision @ away)
        return float(np.sqrt(max(squared, 0.0) / len(away)))


def statistics(train: Iterable[Prediction], valid: Iterable[Prediction]) -> Statistics:
    """What usual radiographs look like, from an even sample of each table.

    Args:
        train: mean and shrunk precision (Ledoit and Wolf 2004) come from these.
        valid: the threshold is the `USUAL_SHARE` percentile of their scores.

    Raises:
        DataError: one of them is empty.
    """
    of_train = [seen.features["global_features"][0] for seen in train]
    of_valid = [seen.features["global_features"][0] for seen in valid]
    if not of_train or not of_valid:
        raise DataError(
            "the train or the valid split has no radiograph: nothing says what is usual"
        )
    features = np.stack(of_train).astype(np.float64)
    fitted = LedoitWolf().fit(features)
    usual = Statistics(
        fitted.location_.astype(np.float32), fitted.precision_.astype(np.float32), 1.0, ""
    )
    scores = [usual.score(each) for each in of_valid]
    threshold = float(np.percentile(scores, USUAL_SHARE))
    rule = f"the {USUAL_SHARE:g}th percentile of the validation split's scores"
    return Statistics(usual.mean, usual.precision, round(threshold, 4), rule)
