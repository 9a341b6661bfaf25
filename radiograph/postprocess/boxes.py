"""Boxes on the model grid: non-maximum suppression and clipping to bounds."""

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry import Box

Floats = NDArray[np.float64]


def _bounds(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest half-open box around what is true."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _suppress(boxes: Floats, nms_iou: float) -> list[int]:
    """Greedy non-maximum suppression of N x 4 boxes, best first: the indices to keep."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left = np.arange(len(boxes))
    keep: list[int] = []
    while left.size:
        best, left = int(left[0]), left[1:]
        keep.append(best)
        low = np.maximum(boxes[left, :2], boxes[best, :2])
        high = np.minimum(boxes[left, 2:], boxes[best, 2:])
        common = np.prod(np.clip(high - low, 0.0, None), axis=1)
        left = left[common <= nms_iou * (areas[left] + areas[best] - common)]
    return keep
