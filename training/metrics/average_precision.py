"""Average precision of boxes over all images, also those without a prediction or a true box.

boxes of each image --match at each IoU, once--> hits of all predictions, highest score first
hits, counts of the images -> average precision at each IoU
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry.geometry import Box
from radiograph.postprocess.boxes import pairwise_iou
from training.metrics.arrays import BoolArray, Counts, Float64Array, finite, once

MAP_IOUS = tuple(round(0.40 + 0.05 * step, 2) for step in range(8))
"""IoUs 0.40 to 0.75 in steps of 0.05; the published mAP is the mean over them."""

Interpolation = Literal["all_points", "coco"]


@dataclass(frozen=True)
class BoxesOfImage:
    """Predicted and true boxes of one label in one image."""

    scores: tuple[float, ...]
    predicted: tuple[Box, ...]
    truth: tuple[Box, ...]


@dataclass(frozen=True, eq=False)
class Matched:
    """Matches of R predicted boxes, highest score first, in N images at T IoUs.

    Attributes:
        hits: T x R bool, True if the prediction matched a true box.
        image: R, index of the image of each prediction.
        truths: N, number of true boxes of each image.
    """

    hits: BoolArray
    image: NDArray[np.intp]
    truths: NDArray[np.int64]

    def average_precision(
        self, counts: Counts, interpolation: Interpolation = "all_points"
    ) -> Float64Array:
        """Return the T areas under the precision-recall curve; NaN if no true box counts.

        Args:
            counts: N, how often each image counts.
            interpolation: `all_points` sums over every point at which recall rises, as PASCAL
                VOC from 2010 on; our metrics use it. `coco` averages the precision at 101
                recalls, as COCO and torchmetrics do; the published protocol uses it.
        """
        total = int(counts @ self.truths)
        if total == 0:
            return np.full(len(self.hits), np.nan)
        weight = counts[self.image]  # R; a resample may leave images out
        drawn = weight > 0
        weight, hits = weight[drawn], self.hits[:, drawn]
        found = np.cumsum(hits * weight, axis=1)  # T x R, true positives down to each score
        precision = found / np.cumsum(weight) if len(weight) else found.astype(np.float64)
        # The highest precision at this recall or any higher one.
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        if interpolation == "coco":
            return np.array([_at_101(f / total, p) for f, p in zip(found, envelope, strict=True)])
        return np.asarray((envelope * hits * weight).sum(axis=1) / total)

    def recall_at(self, false_per_image: float, counts: Counts) -> Float64Array:
        """Return the T recalls down to the last score with so few false boxes; NaN without truth.

        Args:
            false_per_image: largest mean number of predicted boxes that match nothing.
            counts: N, how often each image counts.
        """
        total = int(counts @ self.truths)
        if total == 0:
            return np.full(len(self.hits), np.nan)
        weight = counts[self.image]
        found = np.cumsum(self.hits * weight, axis=1)  # T x R
        false = np.cumsum(~self.hits * weight, axis=1)
        allowed = false <= false_per_image * counts.sum()
        return np.asarray((found * allowed).max(axis=1, initial=0) / total)


def _at_101(recall: Float64Array, envelope: Float64Array) -> float:
    """Return the mean precision at recalls 0, 0.01, ..., 1; 0 where a recall is not reached."""
    at = np.searchsorted(recall, np.linspace(0.0, 1.0, 101), side="left")
    return float(np.append(envelope, 0.0)[at].mean())


def match(images: Sequence[BoxesOfImage], at_ious: Sequence[float] = MAP_IOUS) -> Matched:
    """Match predicted with true boxes, image by image.

    Each predicted box, the highest score of its image first, takes the unmatched true box that
    it overlaps most, if their IoU is at least the threshold.

    Args:
        images: N images.
        at_ious: T thresholds.

    Raises:
        ValueError: a score or a predicted box is not finite.
    """
    thresholds = np.array(at_ious)
    matches = [_match_image(image, thresholds) for image in images]
    scores = np.concatenate([np.zeros(0), *(scores for scores, _ in matches)])
    none = np.zeros((len(thresholds), 0), dtype=bool)
    hits = np.concatenate([none, *(found for _, found in matches)], axis=1)
    image = np.repeat(np.arange(len(images)), [len(scores) for scores, _ in matches])
    order = np.argsort(-scores, kind="stable")
    truths = np.array([len(image.truth) for image in images], dtype=np.int64)
    return Matched(hits[:, order], image[order].astype(np.intp), truths)


def _match_image(image: BoxesOfImage, thresholds: Float64Array) -> tuple[Float64Array, BoolArray]:
    """Return the P scores in descending order, and T x P hits."""
    scores = finite(np.array(image.scores, dtype=np.float64), "average precision")
    boxes = finite(np.array(image.predicted, dtype=np.float64), "average precision, boxes")
    hits = np.zeros((len(thresholds), len(scores)), dtype=bool)
    order = np.argsort(-scores, kind="stable")
    if not len(scores) or not image.truth:
        return scores[order], hits
    overlaps = pairwise_iou(boxes[order], np.array(image.truth, dtype=np.float64))
    # T x G: the thresholds are matched independently of each other.
    free = np.ones((len(thresholds), len(image.truth)), dtype=bool)
    levels = np.arange(len(thresholds))
    for rank, overlap in enumerate(overlaps):
        candidates = np.where(free, overlap, -1.0)
        best = candidates.argmax(axis=1)
        hits[:, rank] = candidates[levels, best] >= thresholds
        free[levels, best] &= ~hits[:, rank]
    return scores[order], hits


def average_precision(
    images: Sequence[BoxesOfImage], at_iou: float, interpolation: Interpolation = "all_points"
) -> float:
    """Return the average precision at one IoU, every image counted once; NaN without truth."""
    found = match(images, (at_iou,))
    return float(found.average_precision(once(len(images)), interpolation)[0])
