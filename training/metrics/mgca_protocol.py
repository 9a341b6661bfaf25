"""How the published protocol measures, faults included; told as `... (mgca)` beside our figures.

Only a run under `protocol: mgca` has these figures, and none of them gates a publication.

    fault                                             what it does
    mean over batches of the mean of each batch       images of a short last batch weigh more
    Dice on the model's grid, at probability 0.5      what is smaller than a cell is lost, and an
                                                      image of it counts as showing nothing
    images without a prediction are skipped           boxes that are never found are not missed
    images without a true box are skipped             boxes on normal images are never wrong
    boxes below confidence 0.5 are dropped first      it lowers the figure: recall ends early
    F1 and accuracy at the threshold that is best     no other images would give as much
    on the test images themselves

The published mAP reads precision at 101 recalls (torchmetrics); ours takes every point.

Source: HKU-MedAI/MGCA `ssl_segmenter.py`, `ssl_detector.py`; MediaBrain-SJTU/MedKLIP `test.py` of
its zero-shot samples. The images of a set and their split are the readers' part.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radiograph.geometry import Geometry
from training.metrics import BoxesOfImage, dice
from training.metrics.arrays import BoolArray

CONFIDENCE = 0.5
"""Of a box, to be looked at."""
SUFFIX = " (mgca)"
"""Of a metric's name."""


def mean_of_batches(values: Sequence[float], batch_size: int) -> float:
    """Mean over the batches of the mean of each; the last may be short. NaN without a value."""
    starts = range(0, len(values), batch_size)
    means = [np.mean(values[start : start + batch_size]) for start in starts]
    return float(np.mean(means)) if means else float("nan")


def grid_dice(logits: NDArray[np.float32], truth: BoolArray, geometry: Geometry) -> float:
    """Dice at probability 0.5 on the model's grid, padding included; 1 when both are empty.

    Args:
        logits: S x S of one structure.
        truth: rows x columns of the source.
        geometry: where the source lies in the grid.
    """
    return dice(logits > 0, on_grid(truth, geometry, len(logits)))


def on_grid(truth: BoolArray, geometry: Geometry, side: int) -> BoolArray:
    """A mask of the source on a side x side grid: the cells of which more than half is inside."""
    scale = side / geometry.size
    height, width = (max(1, round(n * scale)) for n in (geometry.height, geometry.width))
    top, left = round(geometry.top * scale), round(geometry.left * scale)
    small = Image.fromarray(truth.astype(np.float32)).resize((width, height), Image.Resampling.BOX)
    grid = np.zeros((side, side), dtype=bool)
    grid[top : top + height, left : left + width] = np.asarray(small) > 0.5
    return grid


def published_boxes(images: Sequence[BoxesOfImage]) -> dict[int, BoxesOfImage]:
    """Index -> the images that the published mAP looks at, and their boxes that it looks at."""
    confident = {number: _confident(image) for number, image in enumerate(images)}
    return {n: image for n, image in confident.items() if image.scores and image.truth}


def _confident(image: BoxesOfImage) -> BoxesOfImage:
    kept = [n for n, score in enumerate(image.scores) if score >= CONFIDENCE]
    return BoxesOfImage(
        tuple(image.scores[n] for n in kept), tuple(image.predicted[n] for n in kept), image.truth
    )
