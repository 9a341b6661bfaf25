"""Which score calls a finding, chosen on a validation split, and the temperature before it.

A threshold lies midway between two scores, so that it does not rest on one image.
"""

import numpy as np

from training.metrics.arrays import BoolArray, Float64Array, finite

UNKNOWN = 0.5
"""Where only one class is in the split, and nothing can be chosen."""


def _cuts(scores: Float64Array) -> Float64Array:
    """The lowest score, and the middles between one score and the next; ascending."""
    levels = np.unique(finite(scores, "threshold"))
    return np.concatenate([levels[:1], (levels[1:] + levels[:-1]) / 2])


def _reached(scores: Float64Array, cuts: Float64Array) -> Float64Array:
    """How many scores reach each cut."""
    return (len(scores) - np.searchsorted(np.sort(scores), cuts, side="left")).astype(np.float64)


def youden_threshold(scores: Float64Array, positive: BoolArray) -> float:
    """The score at which sensitivity + specificity - 1 is largest; 0.5 with one class only."""
    if positive.all() or not positive.any():
        return UNKNOWN
    cuts = _cuts(scores)
    sensitivity = _reached(scores[positive], cuts) / positive.sum()
    specificity = 1 - _reached(scores[~positive], cuts) / (~positive).sum()
    return float(cuts[int(np.argmax(np.round(sensitivity + specificity, 12)))])


def sensitivity_threshold(scores: Float64Array, positive: BoolArray, target: float) -> float:
    """The highest score at which sensitivity reaches the target; 0.5 with one class only.

    Raises:
        ValueError: the target is not in (0, 1].
    """
    if not 0 < target <= 1:
        raise ValueError(f"a sensitivity to reach lies in (0, 1], not {target}")
    if positive.all() or not positive.any():
        return UNKNOWN
    cuts = _cuts(scores)
    reaches = _reached(scores[positive], cuts) / positive.sum() >= target
    return float(cuts[reaches][-1])


def best_f1_threshold(scores: Float64Array, positive: BoolArray) -> float:
    """The score at which F1 is largest, the lowest of equals; 0.5 without a positive."""
    if not positive.any():
        return UNKNOWN
    cuts = _cuts(scores)
    hits = _reached(scores[positive], cuts)
    return float(cuts[int(np.argmax(2 * hits / (_reached(scores, cuts) + positive.sum())))])


def fit_temperature(logits: Float64Array, positive: BoolArray) -> float:
    """The temperature that minimises the cross-entropy of sigmoid(logits / T); 0.25 to 8.

    1 where there are no logits.
    """
    if not len(finite(logits, "temperature")):
        return 1.0
    candidates = np.geomspace(0.25, 8, 121)
    losses = [
        np.logaddexp(0, np.where(positive, -logits, logits) / temperature).mean()
        for temperature in candidates
    ]
    return float(candidates[int(np.argmin(losses))])
