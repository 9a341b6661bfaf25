"""Average precision of boxes over every image, also those without a prediction or a true box.

images -> match at each IoU, once -> records in the order of their scores
records + how often each image counts -> average precision at each IoU
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry import Box
from radiograph.postprocess.boxes import pairwise_iou
from training.metrics.arrays import BoolArray, Counts, Float64Array, finite, once

MAP_IOUS = tuple(round(0.40 + 0.05 * step, 2) for step in range(8))
"""0.40 to 0.75 by 0.05, over which the published mAP is a mean."""

Interpolation = Literal["all_points", "coco"]


@dataclass(frozen=True)
class BoxesOfImage:
    """Predicted and true boxes of one label in one image."""

    scores: tuple[float, ...]
    predicted: tuple[Box, ...]
    truth: tuple[Box, ...]


@dataclass(frozen=True, eq=False)
class Matched:
    """Every predicted box, the highest score first, and whether it found a true one.

    Attributes:
        hits: T x R, at each IoU.
        image: R, the index of its image.
        truths: N, true boxes of each image.
    """

    hits: BoolArray
    image: NDArray[np.intp]
    truths: NDArray[np.int64]

    def average_precision(
        self, counts: Counts, interpolation: Interpolation = "all_points"
    ) -> Float64Array:
        """T areas under precision over recall; NaN where no true box counts.

        Args:
            counts: N, how often each image counts.
            interpolation: each point where recall rises, as PASCAL VOC from 2010 on, which our
                figures use; or precision read at 101 recalls, as COCO and torchmetrics do, which
                figures of the published protocol use.
        """
        total = int(counts @ self.truths)
        if total == 0:
            return np.full(len(self.hits), np.nan)
        weight = counts[self.image]
        drawn = weight > 0
        weight, hits = weight[drawn], self.hits[:, drawn]
        found = np.cumsum(hits * weight, axis=1)
        precision = found / np.cumsum(weight) if len(weight) else found.astype(np.float64)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        if interpolation == "coco":
            return np.array([_at_101(f / total, p) for f, p in zip(found, envelope, strict=True)])
        return np.asarray((envelope * hits * weight).sum(axis=1) / total)


def _at_101(recall: Float64Array, envelope: Float64Array) -> float:
    """Mean precision at recalls 0, 0.01, ..., 1; 0 where the recall is not reached."""
    at = np.searchsorted(recall, np.linspace(0.0, 1.0, 101), side="left")
    return float(np.append(envelope, 0.0)[at].mean())


def match(images: Sequence[BoxesOfImage], at_ious: Sequence[float] = MAP_IOUS) -> Matched:
    """Match predicted with true boxes, image by image.

    Each predicted box, the highest score of its image first, takes the free true box that it
    overlaps most, if it does so by at least the IoU.

    Raises:
        ValueError: a score or a predicted box is not finite.
    """
    wanted = np.array(at_ious)
    parts = [_match_one(image, wanted) for image in images]
    scores = np.concatenate([np.zeros(0), *(scores for scores, _ in parts)])
    hits = np.concatenate([np.zeros((len(wanted), 0), dtype=bool), *(h for _, h in parts)], axis=1)
    image = np.repeat(np.arange(len(images)), [len(scores) for scores, _ in parts])
    order = np.argsort(-scores, kind="stable")
    truths = np.array([len(image.truth) for image in images], dtype=np.int64)
    return Matched(hits[:, order], image[order].astype(np.intp), truths)


def _match_one(image: BoxesOfImage, wanted: Float64Array) -> tuple[Float64Array, BoolArray]:
    """Scores in descending order, and T x P hits."""
    scores = finite(np.array(image.scores, dtype=np.float64), "average precision")
    boxes = finite(np.array(image.predicted, dtype=np.float64), "average precision, boxes")
    hits = np.zeros((len(wanted), len(scores)), dtype=bool)
    order = np.argsort(-scores, kind="stable")
    if not len(scores) or not image.truth:
        return scores[order], hits
    overlaps = pairwise_iou(boxes[order], np.array(image.truth, dtype=np.float64))
    free = np.ones((len(wanted), len(image.truth)), dtype=bool)
    levels = np.arange(len(wanted))
    for rank, overlap in enumerate(overlaps):
        left = np.where(free, overlap, -1.0)
        best = left.argmax(axis=1)
        hits[:, rank] = left[levels, best] >= wanted
        free[levels, best] &= ~hits[:, rank]
    return scores[order], hits


def average_precision(
    images: Sequence[BoxesOfImage], at_iou: float, interpolation: Interpolation = "all_points"
) -> float:
    """Average precision at one IoU, every image counted once; NaN without a true box."""
    found = match(images, (at_iou,))
    return float(found.average_precision(once(len(images)), interpolation)[0])
