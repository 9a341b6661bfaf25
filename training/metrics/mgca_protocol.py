"""Metrics of the published protocol, faults included, reported as `... (mgca)` next to ours.

Only a run under `protocol: mgca` has these metrics, and none of them gates a publication.

    fault                                             effect
    mean over batches of the mean of each batch       images of a short last batch weigh more
    Dice on the model's grid, at probability 0.5      structures smaller than a cell are lost, and
                                                      their images count as showing nothing
    images without a prediction are skipped           missed boxes are not counted
    images without a true box are skipped             false boxes on normal images are not counted
    boxes below confidence 0.5 are dropped first      lower: recall ends early
    F1 and accuracy at the threshold that is best     optimistic: new images would give less
    on the test images themselves

The published mAP averages precision at 101 recalls (torchmetrics); ours uses every point.

Source: HKU-MedAI/MGCA `ssl_segmenter.py`, `ssl_detector.py`; MediaBrain-SJTU/MedKLIP `test.py` of
its zero-shot samples. The readers select the images of a set and their split.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radiograph.geometry.geometry import Geometry
from training.metrics import BoxesOfImage, dice
from training.metrics.arrays import BoolArray

CONFIDENCE = 0.5
"""Smallest score of a box that is counted."""
SUFFIX = " (mgca)"
"""Suffix of the names of these metrics."""


def mean_of_batches(values: Sequence[float], batch_size: int) -> float:
    """Return the mean over batches of the mean of each batch; NaN without a value."""
    starts = range(0, len(values), batch_size)
    means = [np.mean(values[start : start + batch_size]) for start in starts]
    return float(np.mean(means)) if means else float("nan")


def grid_dice(logits: NDArray[np.float32], truth: BoolArray, geometry: Geometry) -> float:
    """Return Dice at probability 0.5 on the model's grid, padding included; 1 if both are empty.

    Args:
        logits: S x S, of one structure.
        truth: rows x columns, in source pixels.
        geometry: placement of the source on the grid.
    """
    return dice(logits > 0, on_grid(truth, geometry, len(logits)))


def on_grid(truth: BoolArray, geometry: Geometry, side: int) -> BoolArray:
    """Return a source mask on a side x side grid: the cells that it covers by more than half."""
    scale = side / geometry.size  # the head's grid may be coarser than the model's input
    height, width = (max(1, round(n * scale)) for n in (geometry.height, geometry.width))
    top, left = round(geometry.top * scale), round(geometry.left * scale)
    part = geometry.orientation.turn(truth)[geometry.part.window]
    shown = np.ascontiguousarray(part, dtype=np.float32)
    small = Image.fromarray(shown).resize((width, height), Image.Resampling.BOX)
    grid = np.zeros((side, side), dtype=bool)
    grid[top : top + height, left : left + width] = np.asarray(small) > 0.5
    return grid


def published_boxes(images: Sequence[BoxesOfImage]) -> dict[int, BoxesOfImage]:
    """Return index -> image with its counted boxes, for the images that the published mAP uses."""
    confident = {number: _confident(image) for number, image in enumerate(images)}
    return {n: image for n, image in confident.items() if image.scores and image.truth}


def _confident(image: BoxesOfImage) -> BoxesOfImage:
    kept = [n for n, score in enumerate(image.scores) if score >= CONFIDENCE]
    return BoxesOfImage(
        tuple(image.scores[n] for n in kept), tuple(image.predicted[n] for n in kept), image.truth
    )
