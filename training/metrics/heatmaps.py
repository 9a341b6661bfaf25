"""Heat maps of a phrase against its true region: pointing game, contrast, region recall."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from radiograph.geometry.geometry import Box
from radiograph.postprocess.boxes import pairwise_iou
from training.metrics.arrays import BoolArray, Float64Array, finite

FOUND_IOU = 0.1
"""Smallest IoU at which a region counts as found. It is low because heat maps of 7 x 7 or 14 x 14
cells are coarse. The value is our choice: no released code defines the published recall."""


def points_inside(heat: Float64Array, truth: BoolArray) -> bool:
    """Return whether the highest value, the first one if tied, lies in the true region."""
    row, column = np.unravel_index(int(finite(heat, "pointing").argmax()), heat.shape)
    return bool(truth[row, column])


def contrast_to_noise(
    heat: Float64Array, truth: BoolArray, counted: BoolArray | None = None
) -> float:
    """Return (mean inside - mean outside) / sqrt(variance inside + variance outside).

    The ratio is signed, because the published absolute value hides a map that is lower inside.
    It is NaN if the true region is empty or the whole image, or if both parts are constant.

    Args:
        heat: rows x columns.
        truth: rows x columns, True inside the region.
        counted: rows x columns, False where nothing is annotated.

    Source: Boecking et al. 2022 (BioViL), section 4.2.
    """
    known = np.ones_like(truth) if counted is None else counted
    inside = finite(heat, "contrast to noise")[truth & known].astype(np.float64)
    outside = heat[~truth & known].astype(np.float64)
    if not len(inside) or not len(outside):
        return float("nan")
    noise = float(np.sqrt(inside.var() + outside.var()))
    return float(inside.mean() - outside.mean()) / noise if noise > 0 else float("nan")


def region_recall(region: BoolArray, truths: Sequence[Box], at_iou: float = FOUND_IOU) -> float:
    """Return the share of the true boxes found by a connected component of the region.

    A component finds a true box if the IoU with its bounding box is at least `at_iou`. The share
    is NaN without a true box.
    """
    if not truths:
        return float("nan")
    found = boxes_around(region)
    if not found:
        return 0.0
    overlaps = pairwise_iou(np.array(truths, dtype=np.float64), np.array(found))
    return float((overlaps.max(axis=1) >= at_iou).mean())


def boxes_around(region: BoolArray) -> list[Box]:
    """Return the half-open box around each connected component of a mask."""
    labelled, _ = ndimage.label(region)
    return [
        (float(x.start), float(y.start), float(x.stop), float(y.stop))
        for y, x in ndimage.find_objects(labelled)
    ]
