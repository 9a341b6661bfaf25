"""Decision thresholds and temperature, chosen on a validation split.

A threshold lies midway between two scores, so that it does not depend on a single image.
"""

from collections.abc import Sequence

import numpy as np

from training.metrics.arrays import BoolArray, Float64Array, finite

UNKNOWN = 0.5
"""Threshold of a split with one class only, where nothing can be chosen."""


def _cuts(scores: Float64Array) -> Float64Array:
    """Return the lowest score and the midpoints between neighbouring scores, ascending."""
    levels = np.unique(finite(scores, "threshold"))
    return np.concatenate([levels[:1], (levels[1:] + levels[:-1]) / 2])


def _count_at_least(scores: Float64Array, cuts: Float64Array) -> Float64Array:
    """Return the number of scores at or above each cut."""
    return (len(scores) - np.searchsorted(np.sort(scores), cuts, side="left")).astype(np.float64)


def youden_threshold(scores: Float64Array, positive: BoolArray) -> float:
    """Return the score that maximises sensitivity + specificity - 1; 0.5 with one class."""
    if positive.all() or not positive.any():
        return UNKNOWN
    return balanced_threshold([scores[positive]], [scores[~positive]])


def balanced_threshold(present: Sequence[Float64Array], absent: Sequence[Float64Array]) -> float:
    """Return the score that maximises sensitivity + specificity, each a mean over groups.

    Args:
        present: scores of each group of positives, at least one group and one score in each.
        absent: scores of each group of negatives, as many.
    """
    cuts = _cuts(np.concatenate([*present, *absent]))
    sensitivity = np.mean([_count_at_least(x, cuts) / len(x) for x in present], axis=0)
    specificity = 1 - np.mean([_count_at_least(x, cuts) / len(x) for x in absent], axis=0)
    # Rounded so that ties are not decided by floating-point noise; the lowest cut wins a tie.
    return float(cuts[int(np.argmax(np.round(sensitivity + specificity, 12)))])


def sensitivity_threshold(scores: Float64Array, positive: BoolArray, target: float) -> float:
    """Return the highest score whose sensitivity reaches the target; 0.5 with one class only.

    Raises:
        ValueError: the target is not in (0, 1].
    """
    if not 0 < target <= 1:
        raise ValueError(f"a sensitivity to reach lies in (0, 1], not {target}")
    if positive.all() or not positive.any():
        return UNKNOWN
    cuts = _cuts(scores)
    reaches = _count_at_least(scores[positive], cuts) / positive.sum() >= target
    return float(cuts[reaches][-1])


def best_f1_threshold(scores: Float64Array, positive: BoolArray) -> float:
    """Return the score that maximises F1, the lowest one if tied; 0.5 without a positive."""
    if not positive.any():
        return UNKNOWN
    cuts = _cuts(scores)
    hits = _count_at_least(scores[positive], cuts)
    return float(cuts[int(np.argmax(2 * hits / (_count_at_least(scores, cuts) + positive.sum())))])


def fit_temperature(logits: Float64Array, positive: BoolArray) -> float:
    """Return the temperature T, 0.25 to 8, that minimises the loss of sigmoid(logits / T).

    The loss is the binary cross-entropy. Without logits, T is 1.
    """
    if not len(finite(logits, "temperature")):
        return 1.0
    candidates = np.geomspace(0.25, 8, 121)
    losses = [
        # log(1 + exp(-x)) is the cross-entropy of a positive with logit x.
        np.logaddexp(0, np.where(positive, -logits, logits) / temperature).mean()
        for temperature in candidates
    ]
    return float(candidates[int(np.argmin(losses))])
