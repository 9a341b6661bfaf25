"""Statistics of the training data for the out-of-domain score."""

import numpy as np
import pytest

from training.data.rows.dataset_files import DataError
from training.evaluation.calibration.ood_statistics import statistics
from training.evaluation.predictions import Prediction


def test_in_domain_radiographs_are_below_the_threshold_and_others_above(
    predictions: list[Prediction],
) -> None:
    in_domain = statistics(predictions, predictions)
    features = [s.features["global_features"][0] for s in predictions]
    assert np.median([in_domain.score(f) for f in features]) < in_domain.threshold
    assert in_domain.score(features[0] + np.float32(100)) > in_domain.threshold


def test_statistics_need_only_reduced_predictions(predictions: list[Prediction]) -> None:
    reduced = [one.reduced for one in predictions]
    assert np.array_equal(
        statistics(reduced, reduced).mean, statistics(predictions, predictions).mean
    )
    assert not reduced[0].outputs
    assert reduced[0].counted.size == 0


def test_an_empty_split_has_no_statistics() -> None:
    with pytest.raises(DataError, match="no radiograph of the data sets is in the split"):
        statistics([], [])
