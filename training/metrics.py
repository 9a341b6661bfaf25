"""Metrics with bootstrap intervals: Dice, AUROC, average precision, pointing, Youden."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry import Box

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; all NaN where it is not defined."""

    value: float
    low: float
    high: float
    n: int


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float],
    patients: Sequence[str],
    repeats: int = 1000,
    seed: int = 0,
) -> Estimate:
    """A statistic and its percentile interval, resampling patients, not images.

    Args:
        statistic: indices of images (with repetition) -> the figure, NaN where undefined.
        patients: of each image.
        repeats: resamples.
        seed: of the resampling.
    """
    index = np.arange(len(patients))
    value = statistic(index)
    groups = [index[np.array(patients) == p] for p in sorted(set(patients))]
    rng = np.random.default_rng(seed)
    draws = [
        statistic(np.concatenate([groups[g] for g in rng.integers(0, len(groups), len(groups))]))
        for _ in range(repeats)
    ]
    finite = np.array([draw for draw in draws if np.isfinite(draw)])
    if not len(finite):
        return Estimate(value, float("nan"), float("nan"), len(index))
    low, high = np.percentile(finite, (2.5, 97.5))
    return Estimate(value, float(low), float(high), len(index))


def dice(predicted: BoolArray, truth: BoolArray, counted: BoolArray | None = None) -> float:
    """2 |A and B| / (|A| + |B|) over the counted pixels; 1 when both are empty."""
    if counted is not None:
        predicted, truth = predicted & counted, truth & counted
    total = int(predicted.sum()) + int(truth.sum())
    return 1.0 if total == 0 else 2 * int((predicted & truth).sum()) / total


def auroc(scores: FloatArray, positive: BoolArray) -> float:
    """Area under the ROC curve by ranks, ties counted half; NaN with one class only."""
    count = int(positive.sum())
    rest = len(positive) - count
    if count == 0 or rest == 0:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    ranks = mean_rank[inverse]
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * rest))


def youden_threshold(scores: FloatArray, positive: BoolArray) -> float:
    """The score at which sensitivity + specificity - 1 is largest; 0.5 with one class only."""
    if positive.all() or not positive.any():
        return 0.5
    candidates = np.unique(scores)
    cuts = np.concatenate([candidates[:1], (candidates[1:] + candidates[:-1]) / 2])
    sensitivity = [(scores[positive] >= cut).mean() for cut in cuts]
    specificity = [(scores[~positive] < cut).mean() for cut in cuts]
    return float(cuts[int(np.argmax(np.add(sensitivity, specificity)))])


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union > 0 else 0.0


@dataclass(frozen=True)
class BoxesOfImage:
    """Predicted and true boxes of one label in one image."""

    scores: tuple[float, ...]
    predicted: tuple[Box, ...]
    truth: tuple[Box, ...]


def average_precision(images: Sequence[BoxesOfImage], at_iou: float) -> float:
    """Area under precision over recall, every image counted, NaN without a true box.

    Each predicted box, the highest score first, takes the free true box that it overlaps
    most; all-point interpolation, as in PASCAL VOC 2010 and later.
    """
    total = sum(len(image.truth) for image in images)
    if total == 0:
        return float("nan")
    ranked = sorted(
        ((score, i, box) for i, im in enumerate(images)
         for score, box in zip(im.scores, im.predicted, strict=True)),
        key=lambda item: -item[0],
    )  # fmt: skip
    taken: set[tuple[int, int]] = set()
    hits = np.zeros(len(ranked))
    for rank, (_, i, box) in enumerate(ranked):
        free = [t for t in range(len(images[i].truth)) if (i, t) not in taken]
        best = max(free, key=lambda t: iou(box, images[i].truth[t]), default=None)
        if best is not None and iou(box, images[i].truth[best]) >= at_iou:
            taken.add((i, best))
            hits[rank] = 1
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(ranked) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1] if len(ranked) else precision
    return float((envelope * hits).sum() / total)


def fit_temperature(logits: FloatArray, positive: BoolArray) -> float:
    """The temperature that minimises the cross-entropy of sigmoid(logits / T); 0.25 to 8."""
    candidates = np.geomspace(0.25, 8, 121)
    losses = [
        np.logaddexp(0, np.where(positive, -logits, logits) / temperature).mean()
        for temperature in candidates
    ]
    return float(candidates[int(np.argmin(losses))])
