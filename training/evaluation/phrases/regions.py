"""Regions of concepts that phrases name, as far as they are annotated in a radiograph.

concept -> mask of the structure, else its boxes filled, else nothing to measure
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from radiograph.geometry.geometry import Box
from radiograph.postprocess.boxes import pairwise_iou
from training.evaluation.predictions import Prediction
from training.metrics.arrays import BoolArray
from training.metrics.heatmaps import boxes_around

FOUND_IOU = 0.3
"""IoU from which the box of a phrase counts as correct."""
ORGANS = {
    "left lung": ("Left lung",),
    "right lung": ("Right lung",),
    "heart": ("Heart", "Cardiomediastinum"),
}
"""Concept -> names of its mask, the first that is annotated. A box is no region of an organ: it
would be mostly outside of it."""
TARGETS = ORGANS | {
    "pneumonia": ("Lung opacity", "Pneumonia"),
    "lung opacity": ("Lung opacity",),
    "infiltration": ("Infiltration",),
    "atelectasis": ("Atelectasis",),
    "pleural effusion": ("Effusion", "Pleural Effusion"),
    "cardiomegaly": ("Cardiomegaly",),
    "lung mass": ("Mass",),
    "lung nodule": ("Nodule",),
    "pneumothorax": ("Pneumothorax",),
    "foreign object": ("Foreign object",),
}
"""Concept -> names of its masks and boxes, the first that is there."""


@dataclass(frozen=True, eq=False)
class TrueRegion:
    """Region of a structure in one radiograph.

    Attributes:
        mask: rows x columns; the filled boxes where only boxes are known.
        boxes: the boxes, or those around the connected parts of the mask.
    """

    mask: BoolArray
    boxes: tuple[Box, ...]


def true_region(prediction: Prediction, structure: str) -> TrueRegion | None:
    """Return the region of a structure; None if it is not known or the structure is absent."""
    mask = prediction.masks.get(structure)
    if mask is not None:
        return TrueRegion(mask, tuple(boxes_around(mask))) if mask.any() else None
    boxes = prediction.boxes.get(structure)
    if not boxes or any(structure in names for names in ORGANS.values()):
        return None
    filled = np.zeros(prediction.counted.shape, dtype=bool)
    for x0, y0, x1, y1 in boxes:
        columns, rows = (slice(max(0, round(a)), max(0, round(b))) for a, b in ((x0, x1), (y0, y1)))
        filled[rows, columns] = True
    return TrueRegion(filled, tuple(boxes)) if filled.any() else None


def region_of(prediction: Prediction, concept: str) -> TrueRegion | None:
    """Return the region of a concept by the first of its names that is annotated, or None."""
    regions = (true_region(prediction, name) for name in TARGETS.get(concept, ()))
    return next((found for found in regions if found is not None), None)


def matched_boxes(predicted: Sequence[Box], truth: Sequence[Box]) -> int:
    """Return the number of true boxes that are found, each by another box, best box first."""
    if not predicted or not truth:
        return 0
    free, hits = np.ones(len(truth), dtype=bool), 0
    for overlaps in pairwise_iou(np.array(predicted), np.array(truth)):
        best = int(np.argmax(np.where(free, overlaps, -1.0)))
        if free[best] and overlaps[best] >= FOUND_IOU:
            free[best] = False
            hits += 1
    return hits
