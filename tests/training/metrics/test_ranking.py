"""Metrics of scores, by hand and against other implementations."""

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_calibration_error,
    binary_f1_score,
    multilabel_auroc,
)

from tests.builders.training.parts.random_scores import random_scores
from training.metrics import (
    Ranked,
    argmax_accuracy,
    auroc,
    calibration_error,
    f1,
    macro,
    share_right,
    youden_threshold,
)
from training.metrics.arrays import once
from training.metrics.ranking import ECE_BINS


@pytest.mark.parametrize("levels", [3, 1000])
def test_auroc_agrees_with_scikit_learn_and_torchmetrics_ties_included(levels: int) -> None:
    scores, positive = random_scores(levels, levels=levels)
    assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    theirs = binary_auroc(torch.tensor(scores), torch.tensor(positive).long())
    assert auroc(scores, positive) == pytest.approx(float(theirs), abs=1e-6)


def test_auroc_of_one_class_or_no_image_is_undefined() -> None:
    assert np.isnan(auroc(np.array([0.1, 0.2]), np.array([True, True])))
    assert np.isnan(auroc(np.zeros(0), np.zeros(0, dtype=bool)))


def test_auroc_of_a_resample_is_that_of_the_repeated_images() -> None:
    scores, positive = random_scores(5, levels=10)
    counts = np.random.default_rng(0).integers(0, 3, len(scores))
    again = np.repeat(np.arange(len(scores)), counts)
    assert Ranked(scores, positive).area(counts) == pytest.approx(
        roc_auc_score(positive[again], scores[again])
    )


def test_macro_auroc_is_the_mean_over_labels_with_both_classes() -> None:
    columns = [random_scores(seed) for seed in range(3)]
    every = np.arange(200)
    ours = macro([(every, Ranked(s, p).area) for s, p in columns], once(200))
    theirs = multilabel_auroc(
        torch.tensor(np.stack([s for s, _ in columns], axis=1)),
        torch.tensor(np.stack([p for _, p in columns], axis=1)).long(),
        num_labels=3,
    )
    assert ours == pytest.approx(float(theirs), abs=1e-6)
    one_class = Ranked(np.array([0.5, 0.6]), np.array([True, True]))
    with_it = [(every[:2], one_class.area), (every, Ranked(*columns[0]).area)]
    assert macro(with_it, once(200)) == pytest.approx(auroc(*columns[0]))
    assert np.isnan(macro([(every[:2], one_class.area)], once(200)))


def test_scores_that_are_not_finite_are_refused_by_name() -> None:
    broken, positive = np.array([0.1, np.nan, 0.3]), np.array([True, False, True])
    with pytest.raises(ValueError, match="Edema: 1 of 3 scores are not finite"):
        Ranked(broken, positive, "Edema")
    with pytest.raises(ValueError, match="threshold: 1 of 3"):
        youden_threshold(broken, positive)
    with pytest.raises(ValueError, match="calibration error: 1 of 3"):
        calibration_error(broken, positive, once(3))
    with pytest.raises(ValueError, match="argmax accuracy: 1 of 3"):
        argmax_accuracy(broken[:, None], np.zeros(3, dtype=np.intp), once(3))


def test_f1_and_shares_agree_with_scikit_learn_and_by_hand() -> None:
    scores, positive = random_scores(1)
    called, counts = scores >= 0.5, once(200)
    assert f1(called, positive, counts) == pytest.approx(f1_score(positive, called))
    theirs = binary_f1_score(torch.tensor(scores), torch.tensor(positive).long())
    assert f1(scores > 0.5, positive, counts) == pytest.approx(float(theirs), abs=1e-6)
    everyone = np.ones(200, dtype=bool)
    assert share_right(called, positive, everyone, counts) == accuracy_score(positive, called)
    assert share_right(called, positive, positive, counts) == recall_score(positive, called)
    hand = np.array([True, True, False]), np.array([True, False, True])
    assert f1(*hand, once(3)) == 0.5
    assert np.isnan(f1(hand[0] & False, hand[1] & False, once(3)))
    assert np.isnan(share_right(*hand, hand[0] & False, once(3)))


def test_argmax_accuracy_by_hand() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.4]])
    truth = np.array([0, 0, 0])
    assert argmax_accuracy(scores, truth, once(3)) == pytest.approx(2 / 3)


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([0.9, 0.9, 0.1, 0.1])
    positive = np.array([True, False, False, False])
    assert calibration_error(probabilities, positive, once(4)) == pytest.approx(0.25)
    assert calibration_error(np.array([1.0, 0.0]), np.array([True, False]), once(2)) == 0.0
    assert np.isnan(calibration_error(np.zeros(0), np.zeros(0, dtype=bool), once(0)))


def test_calibration_error_agrees_with_torchmetrics_and_scikit_learn() -> None:
    probabilities, positive = random_scores(2, 600, levels=100_000)
    theirs = binary_calibration_error(
        torch.tensor(probabilities), torch.tensor(positive).long(), n_bins=ECE_BINS
    )
    ours = calibration_error(probabilities, positive, once(600))
    assert ours == pytest.approx(float(theirs), abs=1e-5)
    true, mean = calibration_curve(positive, probabilities, n_bins=ECE_BINS, strategy="quantile")
    massed = calibration_error(probabilities, positive, once(600), "equal_mass")
    assert massed == pytest.approx(np.abs(true - mean).mean(), abs=1e-9)


def test_calibration_error_of_a_resample_is_that_of_the_repeated_images() -> None:
    probabilities, positive = random_scores(3, 90, levels=100_000)
    counts = np.random.default_rng(1).integers(0, 3, 90)
    again = np.repeat(np.arange(90), counts)
    assert calibration_error(probabilities, positive, counts) == pytest.approx(
        calibration_error(probabilities[again], positive[again], once(len(again)))
    )
