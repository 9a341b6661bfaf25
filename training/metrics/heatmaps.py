"""Heat maps of a phrase against where it is: pointing game, contrast, recall of regions."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from radiograph.geometry import Box
from radiograph.postprocess.boxes import pairwise_iou
from training.metrics.arrays import BoolArray, Float64Array, finite

FOUND_IOU = 0.1
"""From which overlap on a region counts as found. Heat maps of 7 x 7 or 14 x 14 cells are coarse;
ours, as no released code says what the published recall is."""


def points_inside(heat: Float64Array, truth: BoolArray) -> bool:
    """Pointing game: whether the highest value, the first of equals, lies in the truth."""
    row, column = np.unravel_index(int(finite(heat, "pointing").argmax()), heat.shape)
    return bool(truth[row, column])


def contrast_to_noise(
    heat: Float64Array, truth: BoolArray, counted: BoolArray | None = None
) -> float:
    """(mean inside - mean outside) / sqrt(variance inside + variance outside).

    Signed, so that a map that is lower inside is told; the published absolute value hides it.
    NaN where the truth is empty or the whole image, or both sides are flat.

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
    """Share of the true boxes that the box around a connected part of the region overlaps.

    NaN without a true box.
    """
    if not truths:
        return float("nan")
    found = boxes_around(region)
    if not found:
        return 0.0
    overlaps = pairwise_iou(np.array(truths, dtype=np.float64), np.array(found))
    return float((overlaps.max(axis=1) >= at_iou).mean())


def boxes_around(region: BoolArray) -> list[Box]:
    """The half-open box around each connected part of a mask."""
    labelled, _ = ndimage.label(region)
    return [
        (float(x.start), float(y.start), float(x.stop), float(y.stop))
        for y, x in ndimage.find_objects(labelled)
    ]
