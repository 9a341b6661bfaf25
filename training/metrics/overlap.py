"""Dice and intersection over union of masks, image by image.

Two empty masks agree: 1. An empty mask against one that is not is 0. So a set with many images
that show nothing has a high mean Dice for a model that draws nothing; the mean over the images
that show something is told beside it (`training.evaluation.evaluators.segmentation`).
"""

from training.metrics.arrays import BoolArray


def dice(predicted: BoolArray, truth: BoolArray, counted: BoolArray | None = None) -> float:
    """2 |A and B| / (|A| + |B|) over the counted pixels; 1 when both are empty."""
    common, total = _areas(predicted, truth, counted)
    return 1.0 if total == 0 else 2 * common / total


def mask_iou(predicted: BoolArray, truth: BoolArray, counted: BoolArray | None = None) -> float:
    """|A and B| / |A or B| over the counted pixels; 1 when both are empty."""
    common, total = _areas(predicted, truth, counted)
    return 1.0 if total == 0 else common / (total - common)


def _areas(predicted: BoolArray, truth: BoolArray, counted: BoolArray | None) -> tuple[int, int]:
    """|A and B| and |A| + |B|.

    Raises:
        ValueError: the masks differ in size; broadcasting would hide it.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"a mask of {predicted.shape} pixels against one of {truth.shape}")
    if counted is not None:
        predicted, truth = predicted & counted, truth & counted
    return int((predicted & truth).sum()), int(predicted.sum()) + int(truth.sum())
