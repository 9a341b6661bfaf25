"""Axis-aligned boxes: intersection over union, non-maximum suppression, bounds of a mask.

A box is (x0, y0, x1, y1), half-open, in any pixel grid; the origin is the top left corner.
"""

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry.geometry import Box

Floats = NDArray[np.float64]


def iou(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes; 0 if both are empty."""
    return float(pairwise_iou(np.array([a]), np.array([b]))[0, 0])


def pairwise_iou(a: Floats, b: Floats) -> Floats:
    """Return the intersection over union of each of P boxes with each of G boxes.

    Args:
        a: P x 4, float64.
        b: G x 4, float64.

    Returns:
        P x G, float64, 0 to 1; 0 for a pair whose union has no area.
    """
    common = _intersections(a, b)
    union = areas(a)[:, None] + areas(b)[None, :] - common
    overlap: Floats = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return overlap


def areas(boxes: Floats) -> Floats:
    """Return the area of each of N x 4 boxes, N."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))


def _intersections(a: Floats, b: Floats) -> Floats:
    """Return the area that each of P x 4 boxes shares with each of G x 4 boxes, P x G."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])  # P x G x 2, top left corners
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])  # P x G x 2, bottom right corners
    return np.asarray(np.clip(high - low, 0.0, None).prod(axis=2))


def suppress_overlapping(boxes: Floats, max_iou: float) -> list[int]:
    """Return the indices of the boxes that greedy non-maximum suppression keeps.

    Args:
        boxes: N x 4, float64, the best first.
        max_iou: a box is dropped if its IoU with a better kept box is above it.
    """
    box_areas = areas(boxes)
    remaining = np.arange(len(boxes))
    kept: list[int] = []
    while remaining.size:
        best, remaining = int(remaining[0]), remaining[1:]
        kept.append(best)
        common = _intersections(boxes[best : best + 1], boxes[remaining])[0]
        union = box_areas[remaining] + box_areas[best] - common
        # Compared as a product, because the union of two empty boxes is 0.
        remaining = remaining[common <= max_iou * union]
    return kept


def bounds(mask: NDArray[np.bool_]) -> Box | None:
    """Return the smallest box around the true pixels of a rows x columns mask, if there are any."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
