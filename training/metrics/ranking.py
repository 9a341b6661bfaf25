"""How well scores tell what is present from what is not, and how far they can be believed."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.metrics.arrays import BoolArray, Counts, Float64Array, finite, once
from training.metrics.bootstrap import Statistic, weighted_mean

ECE_BINS = 15


class Ranked:
    """Scores of one label, sorted once, for the area under many resamples."""

    def __init__(self, scores: Float64Array, positive: BoolArray, what: str = "auroc") -> None:
        """Sort them.

        Args:
            scores: N.
            positive: N, what is true.
            what: the scores are of, for the message.

        Raises:
            ValueError: a score is not finite.
        """
        self._order = np.argsort(finite(scores, what), kind="stable")
        ordered = scores[self._order]
        self._positive = positive[self._order]
        first = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
        self._starts = np.flatnonzero(first)  # of each group of equal scores

    def area(self, counts: Counts) -> float:
        """Area under the ROC curve, ties counted half; NaN with one class only."""
        if not len(self._order):
            return float("nan")
        ordered = counts[self._order]
        present = np.add.reduceat(ordered * self._positive, self._starts)
        absent = np.add.reduceat(ordered * ~self._positive, self._starts)
        pairs = int(present.sum()) * int(absent.sum())
        below = np.cumsum(absent) - absent / 2
        return float(present @ below) / pairs if pairs else float("nan")


def auroc(scores: Float64Array, positive: BoolArray) -> float:
    """Area under the ROC curve by ranks, ties counted half; NaN with one class only.

    Raises:
        ValueError: a score is not finite.
    """
    return Ranked(scores, positive).area(once(len(scores)))


def macro(labels: Sequence[tuple[NDArray[np.intp], Statistic]], counts: Counts) -> float:
    """Mean of a figure over the labels that it is defined for; NaN where it is for none.

    Args:
        labels: of each, the images whose truth is known, and the statistic of those.
        counts: of all images.
    """
    each = np.array([statistic(counts[known]) for known, statistic in labels])
    defined = each[np.isfinite(each)]
    return float(defined.mean()) if len(defined) else float("nan")


def share_right(called: BoolArray, positive: BoolArray, among: BoolArray, counts: Counts) -> float:
    """Of the images in `among`, the share called right; NaN where none counts.

    Sensitivity among the positive, specificity among the others, accuracy among all.
    """
    return weighted_mean(called == positive, counts * among)


def f1(called: BoolArray, positive: BoolArray, counts: Counts) -> float:
    """2 TP / (2 TP + FP + FN); NaN where nothing is present and nothing called."""
    hits = int(counts @ (called & positive))
    total = int(counts @ called) + int(counts @ positive)
    return 2 * hits / total if total else float("nan")


def argmax_accuracy(scores: Float64Array, truth: NDArray[np.intp], counts: Counts) -> float:
    """Share of the images whose highest score is that of their class.

    Args:
        scores: N x K of classes that exclude each other; of equal ones the first is taken.
        truth: N, the class.
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
    """Expected calibration error of the probability of the positive class, in `ECE_BINS` bins.

    The mean over the images of the distance, in their bin, between mean probability and share of
    positives. NaN without images.

    Args:
        probabilities: N in [0, 1].
        positive: N.
        counts: N.
        bins: of equal width (the usual figure), or each with as many images, which has no empty
            bin; images of the same probability may then fall into neighbouring bins.

    Source: Naeini et al. 2015 (width), Nixon et al. 2019 (mass).
    """
    finite(probabilities, "calibration error")
    total = int(counts.sum())
    if not total:
        return float("nan")
    if bins == "equal_width":
        number = np.minimum((probabilities * ECE_BINS).astype(np.intp), ECE_BINS - 1)
    else:
        order = np.argsort(probabilities, kind="stable")
        below = np.cumsum(counts[order]) - counts[order]
        number = np.empty(len(order), dtype=np.intp)
        number[order] = below * ECE_BINS // total
    gaps = np.bincount(number, weights=counts * (probabilities - positive), minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / total)
