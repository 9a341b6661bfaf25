"""The score is a Mahalanobis distance in which a typical training image has 1."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from radiograph.errors import InvalidVersion
from radiograph.manifest import OutOfDomainSpec
from service.inference.out_of_distribution import OutOfDistributionDetector
from service.inference.results import OutOfDistributionScore

SPEC = OutOfDomainSpec(file="statistics.npz", threshold=1.5, threshold_rule="made up")


def detector_of(mean: list[float], precision: list[list[float]]) -> OutOfDistributionDetector:
    return OutOfDistributionDetector(np.array(mean), np.array(precision), 1.5)


def test_the_mean_of_the_training_images_scores_zero() -> None:
    detector = detector_of([1.0, 2.0], [[4.0, 0.0], [0.0, 4.0]])
    assert detector.score(np.array([1.0, 2.0], np.float32)).score == 0.0


def test_a_distance_of_one_standard_deviation_on_every_axis_scores_one() -> None:
    detector = detector_of([0.0, 0.0], [[4.0, 0.0], [0.0, 0.25]])  # deviations 0.5 and 2
    score = detector.score(np.array([0.5, -2.0], np.float32))
    assert score.score == pytest.approx(1.0)
    assert not score.outside


def test_correlated_features_are_decorrelated() -> None:
    covariance = np.array([[1.0, 0.8], [0.8, 1.0]])
    detector = OutOfDistributionDetector(np.zeros(2), np.linalg.inv(covariance), 1.5)
    along = detector.score(np.array([1.0, 1.0], np.float32)).score
    across = detector.score(np.array([1.0, -1.0], np.float32)).score
    assert along == pytest.approx(np.sqrt(1 / 1.8))
    assert across == pytest.approx(np.sqrt(1 / 0.2))


def test_a_score_at_the_threshold_is_not_outside() -> None:
    assert not OutOfDistributionScore(1.5, 1.5).outside
    assert OutOfDistributionScore(1.5001, 1.5).outside


def test_a_precision_that_is_not_quite_positive_scores_zero() -> None:
    detector = detector_of([0.0], [[-1e-12]])
    assert detector.score(np.array([1.0], np.float32)).score == 0.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_an_error_of_the_version(value: float) -> None:
    with pytest.raises(InvalidVersion, match="not finite"):
        detector_of([0.0], [[1.0]]).score(np.array([value], np.float32))


def test_a_version_without_statistics_has_no_detector(tmp_path: Path) -> None:
    assert OutOfDistributionDetector.load(tmp_path, None) is None


def test_the_statistics_are_read_from_the_version(tmp_path: Path) -> None:
    np.savez(tmp_path / SPEC.file, mean=np.zeros(3, np.float32), precision=np.eye(3))
    detector = OutOfDistributionDetector.load(tmp_path, SPEC)
    assert detector is not None
    assert detector.mean.dtype == np.float64
    assert detector.threshold == 1.5


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"mean": np.zeros(3)}, "no `mean` or `precision`"),
        ({"mean": np.array(["a"]), "precision": np.eye(1)}, "no `mean` or `precision`"),
        ({"mean": np.zeros(4), "precision": np.eye(3)}, "does not fit"),
        ({"mean": np.zeros((3, 1)), "precision": np.eye(3)}, "does not fit"),
    ],
)
def test_statistics_that_do_not_fit_are_an_error_of_the_version(
    tmp_path: Path,
    arrays: dict[str, NDArray[np.float64]],
    reason: str,
) -> None:
    np.savez(tmp_path / SPEC.file, **arrays)  # type: ignore[arg-type] # numpy's stub
    with pytest.raises(InvalidVersion, match=reason):
        OutOfDistributionDetector.load(tmp_path, SPEC)
