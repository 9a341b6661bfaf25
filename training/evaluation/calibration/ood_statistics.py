"""Embedding statistics of the training data, for the out-of-domain score.

global features of train -> mean and precision; scores of valid -> threshold
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from sklearn.covariance import LedoitWolf

from training.data.rows.dataset_files import DataError
from training.evaluation.predictions import Prediction
from training.metrics.arrays import FloatArray

USUAL_SHARE = 99.0
"""Percentage of the validation split that must be below the threshold."""


@dataclass(frozen=True)
class Statistics:
    """Distribution of the global features, and the largest score that counts as in-domain.

    Attributes:
        mean: D float32.
        precision: D x D float32.
        threshold: largest in-domain score.
        threshold_rule: choice of the threshold, in words.
    """

    mean: FloatArray
    precision: FloatArray
    threshold: float
    threshold_rule: str

    def score(self, features: FloatArray) -> float:
        """Return the Mahalanobis distance of one image's features (D), divided by sqrt(D)."""
        centred = features.astype(np.float64) - self.mean
        squared = float(centred @ self.precision @ centred)  # below 0 by rounding alone
        return float(np.sqrt(max(squared, 0.0) / len(centred)))


def statistics(train: Iterable[Prediction], valid: Iterable[Prediction]) -> Statistics:
    """Estimate the distribution of in-domain radiographs.

    Args:
        train: an even sample of each table, which gives mean and shrunk precision.
        valid: the threshold is the `USUAL_SHARE` percentile of their scores.

    Raises:
        DataError: one of them is empty.

    Source: Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance
    matrices", 2004.
    """
    of_train = [prediction.features["global_features"][0] for prediction in train]
    of_valid = [prediction.features["global_features"][0] for prediction in valid]
    if not of_train or not of_valid:
        split = "valid" if of_train else "train"
        raise DataError(
            f"no radiograph of the data sets is in the split {split}: an evaluation needs rows of"
            " train, valid and test"
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
