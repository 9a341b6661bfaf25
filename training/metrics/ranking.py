"""Discrimination and calibration of scores: AUROC, F1, accuracy, calibration error."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.metrics.arrays import BoolArray, Counts, Float64Array, finite, once
from training.metrics.bootstrap import Statistic, weighted_mean

ECE_BINS = 15
"""Number of bins of the calibration error."""


class Ranked:
    """Scores of one label, sorted once for the AUROC of many resamples."""

    def __init__(self, scores: Float64Array, positive: BoolArray, what: str = "auroc") -> None:
        """Sort the scores.

        Args:
            scores: N.
            positive: N, True where the label is present.
            what: name of the metric, for the message.

        Raises:
            ValueError: a score is not finite.
        """
        self._order = np.argsort(finite(scores, what), kind="stable")
        ordered = scores[self._order]
        self._positive = positive[self._order]
        first = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
        self._starts = np.flatnonzero(first)  # start of each group of tied scores

    def area(self, counts: Counts) -> float:
        """Return the area under the ROC curve, ties counted half; NaN with one class only."""
        if not len(self._order):
            return float("nan")
        ordered = counts[self._order]
        present = np.add.reduceat(ordered * self._positive, self._starts)
        absent = np.add.reduceat(ordered * ~self._positive, self._starts)
        pairs = int(present.sum()) * int(absent.sum())
        # Negatives below each group of tied scores, and half of those within it.
        below = np.cumsum(absent) - absent / 2
        return float(present @ below) / pairs if pairs else float("nan")


def auroc(scores: Float64Array, positive: BoolArray) -> float:
    """Return the area under the ROC curve, ties counted half; NaN with one class only.

    Raises:
        ValueError: a score is not finite.
    """
    return Ranked(scores, positive).area(once(len(scores)))


def macro(labels: Sequence[tuple[NDArray[np.intp], Statistic]], counts: Counts) -> float:
    """Return the mean of a statistic over the labels for which it is defined; NaN without any.

    Args:
        labels: for each label, the indices of the images with known truth, and their statistic.
        counts: N, of all images.
    """
    each = np.array([statistic(counts[known]) for known, statistic in labels])
    defined = each[np.isfinite(each)]
    return float(defined.mean()) if len(defined) else float("nan")


def share_right(called: BoolArray, positive: BoolArray, among: BoolArray, counts: Counts) -> float:
    """Return the share of correct decisions among some images; NaN if none counts.

    This is sensitivity among the positive images, specificity among the negative ones and
    accuracy among all.

    Args:
        called: N, True where the label was predicted.
        positive: N, True where the label is present.
        among: N, True for the images that are considered.
        counts: N.
    """
    return weighted_mean(called == positive, counts * among)


def f1(called: BoolArray, positive: BoolArray, counts: Counts) -> float:
    """Return 2 TP / (2 TP + FP + FN); NaN if nothing is present and nothing predicted."""
    hits = int(counts @ (called & positive))
    total = int(counts @ called) + int(counts @ positive)
    return 2 * hits / total if total else float("nan")


def argmax_accuracy(scores: Float64Array, truth: NDArray[np.intp], counts: Counts) -> float:
    """Return the share of images whose highest score is that of their class.

    Args:
        scores: N x K, of classes that exclude each other; the first one wins a tie.
        truth: N, index of the true class.
        counts: N.

    Raises:
        ValueError: a score is not finite.
    """
    return weighted_mean(finite(scores, "argmax accuracy").argmax(axis=1) == truth, counts)


def calibration_error(
    probabilities: Float64Array,
    positive: BoolArray,
    counts: Counts,
    bins: Literal["equal_width", "equal_mass"] = "equal_width",
) -> float:
    """Return the expected calibration error of the positive class, in `ECE_BINS` bins.

    It is the mean over the images of the difference, in their bin, between the mean probability
    and the share of positives; NaN without images.

    Args:
        probabilities: N in [0, 1].
        positive: N, True where the label is present.
        counts: N.
        bins: bins of equal width (the usual definition), or with equally many images, so that
            none is empty; images of equal probability may then fall into neighbouring bins.

    Source: Naeini et al. 2015 (width), Nixon et al. 2019 (mass).
    """
    finite(probabilities, "calibration error")
    total = int(counts.sum())
    if not total:
        return float("nan")
    if bins == "equal_width":
        # A probability of 1 belongs to the last bin.
        number = np.minimum((probabilities * ECE_BINS).astype(np.intp), ECE_BINS - 1)
    else:
        order = np.argsort(probabilities, kind="stable")
        below = np.cumsum(counts[order]) - counts[order]
        number = np.empty(len(order), dtype=np.intp)
        number[order] = below * ECE_BINS // total
    # The sum of (probability - positive) in a bin is its size times its gap.
    gaps = np.bincount(number, weights=counts * (probabilities - positive), minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / total)
