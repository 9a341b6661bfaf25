"""How far results hold in views of a radiograph that were changed in harmless ways.

results of the radiograph + results of its views --> an `Uncertainty` for each result
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from radiograph.postprocess.boxes import iou
from radiograph.postprocess.grounding import Grounding
from radiograph.postprocess.heads import Detection, Finding, Mask

SAME_BOX_IOU = 0.5
"""Least overlap of boxes that count as the same."""

R = TypeVar("R", Finding, Mask, Detection, Grounding)


@dataclass(frozen=True)
class Uncertainty:
    """How a result fares in other views of the radiograph.

    Attributes:
        views: number of views, without the radiograph as it is.
        agreement: 0 to 1, 1 if every view agrees. A finding or phrase: share of the views with the
            same decision, and for a phrase that is found, with their peak in one of its boxes. A
            mask: mean Dice with the masks of the views. A box: share of the views with a box of
            the same label that overlaps it by `SAME_BOX_IOU`.
        low, high: range of the probability, or of the presence of a phrase, over the radiograph
            and its views; None for results without one.
    """

    views: int
    agreement: float
    low: float | None = None
    high: float | None = None


def uncertainties(results: Sequence[R], views: Sequence[Sequence[R]]) -> tuple[Uncertainty, ...]:
    """Return the uncertainty of each result, in order.

    Args:
        results: results of one task for the radiograph.
        views: those for each of its views, at least one; findings, masks and phrases in the same
            order.
    """
    return tuple(_uncertainty(item, n, views) for n, item in enumerate(results))


def _uncertainty(item: R, position: int, views: Sequence[Sequence[Any]]) -> Uncertainty:
    if isinstance(item, Detection):
        return _of_detection(item, views)
    others = [view[position] for view in views]
    if isinstance(item, Finding):
        return _of_finding(item, others)
    if isinstance(item, Mask):
        return _of_mask(item, others)
    return _of_grounding(item, others)


def _of_finding(item: Finding, others: list[Finding]) -> Uncertainty:
    probabilities = [each.probability for each in (item, *others)]
    same = [each.positive == item.positive for each in others]
    return Uncertainty(len(others), _mean(same), min(probabilities), max(probabilities))


def _of_mask(item: Mask, others: list[Mask]) -> Uncertainty:
    return Uncertainty(len(others), _mean([_dice(item, each) for each in others]))


def _dice(one: Mask, other: Mask) -> float:
    both = one.area_px + other.area_px
    if not both:
        return 1.0
    return 2 * int(np.count_nonzero(one.mask & other.mask)) / both


def _of_detection(item: Detection, views: Sequence[Sequence[Detection]]) -> Uncertainty:
    same = [
        any(each.name == item.name and iou(each.box, item.box) >= SAME_BOX_IOU for each in view)
        for view in views
    ]
    return Uncertainty(len(views), _mean(same))


def _of_grounding(item: Grounding, others: list[Grounding]) -> Uncertainty:
    agreement = _mean([_same_place(item, each) for each in others])
    presences = [each.presence.probability for each in (item, *others) if each.presence is not None]
    if not presences:
        return Uncertainty(len(others), agreement)
    return Uncertainty(len(others), agreement, min(presences), max(presences))


def _same_place(item: Grounding, other: Grounding) -> bool:
    """Return whether a view decides the same on a phrase, and points into one of its boxes."""
    found = [each.presence is None or each.presence.found for each in (item, other)]
    if found[0] != found[1]:
        return False
    boxes = [each.box for each in item.boxes] or ([item.box] if item.box else [])
    if not found[0] or not boxes or other.peak is None:
        return True
    x, y = other.peak
    return any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in boxes)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
