"""Distance between two versions' answers to the same request, by kind of output.

    findings   largest absolute difference of a probability, over labels
    masks      1 - the smallest Dice coefficient, over labels; two empty masks are equal
    boxes      1 - the smallest IoU of the best boxes, over labels; 1 for a box without a partner
    phrases    largest absolute difference of a similarity
    heatmaps   largest absolute difference of a cell; maps of different sizes are not compared

Every distance lies between 0 (equal) and 1. Only outputs that both answers have are compared;
`unmatched` is the number of labels that only one of them has.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from radiograph.geometry.geometry import Box
from radiograph.postprocess.boxes import iou
from radiograph.postprocess.grounding import Grounding
from radiograph.postprocess.heads import Detection, Finding, Mask
from service.inference.results import AnalysisResult

T = TypeVar("T", Finding, Mask, Grounding)


def differences(one: AnalysisResult, other: AnalysisResult) -> dict[str, float]:
    """Return the largest distance of each kind of output that both answers have."""
    found: dict[str, float] = {}
    unmatched = 0
    if one.findings is not None and other.findings is not None:
        found["findings"] = _largest(one.findings, other.findings, _name, _probability)
        unmatched += _unmatched(one.findings, other.findings, _name)
    if one.masks is not None and other.masks is not None:
        found["masks"] = _largest(one.masks, other.masks, _name, _dice_loss)
        unmatched += _unmatched(one.masks, other.masks, _name)
    if one.detections is not None and other.detections is not None:
        found["boxes"] = _boxes(one.detections, other.detections)
    if one.groundings is not None and other.groundings is not None:
        found["phrases"] = _largest(one.groundings, other.groundings, _phrase, _similarity)
        found["heatmaps"] = _largest(one.groundings, other.groundings, _phrase, _heatmap)
    return found | ({"unmatched": float(unmatched)} if unmatched else {})


def _name(item: Finding | Mask | Detection) -> str:
    return item.name


def _phrase(item: Grounding) -> str:
    return item.phrase


def _largest(
    one: Sequence[T],
    other: Sequence[T],
    name: Callable[[T], str],
    difference: Callable[[T, T], float],
) -> float:
    others = {name(item): item for item in other}
    pairs = ((item, others[name(item)]) for item in one if name(item) in others)
    return max((difference(*pair) for pair in pairs), default=0.0)


def _unmatched(one: Sequence[T], other: Sequence[T], name: Callable[[T], str]) -> int:
    return len({name(item) for item in one} ^ {name(item) for item in other})


def _probability(one: Finding, other: Finding) -> float:
    return abs(one.probability - other.probability)


def _dice_loss(one: Mask, other: Mask) -> float:
    if one.mask.shape != other.mask.shape:
        return 1.0
    total = int(one.mask.sum()) + int(other.mask.sum())
    return 1 - 2 * int((one.mask & other.mask).sum()) / total if total else 0.0


def _similarity(one: Grounding, other: Grounding) -> float:
    return abs(one.similarity - other.similarity)


def _heatmap(one: Grounding, other: Grounding) -> float:
    if one.heatmap.shape != other.heatmap.shape:
        return 0.0
    return float(np.max(np.abs(one.heatmap - other.heatmap), initial=0.0))


def _boxes(one: Sequence[Detection], other: Sequence[Detection]) -> float:
    best, others = _best(one), _best(other)
    losses = (
        1 - iou(best[name], others[name]) if name in best and name in others else 1.0
        for name in best.keys() | others.keys()
    )
    return max(losses, default=0.0)


def _best(detections: Sequence[Detection]) -> Mapping[str, Box]:
    """Return the box with the highest score of each label."""
    ascending = sorted(detections, key=lambda item: item.score)
    return {item.name: item.box for item in ascending}
