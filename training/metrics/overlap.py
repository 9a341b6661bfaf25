"""Dice and intersection over union of masks, image by image.

Two empty masks agree, which counts as 1; an empty mask against any other counts as 0. On a set with
many images that show nothing, a model that predicts nothing therefore has a high mean Dice.
`training.evaluation.evaluators.segmentation` also reports the mean over the other images.
"""

from training.metrics.arrays import BoolArray


def dice(predicted: BoolArray, truth: BoolArray, counted: BoolArray | None = None) -> float:
    """Return 2 |A and B| / (|A| + |B|) over the counted pixels; 1 if both are empty."""
    common, total = _areas(predicted, truth, counted)
    return 1.0 if total == 0 else 2 * common / total


def mask_iou(predicted: BoolArray, truth: BoolArray, counted: BoolArray | None = None) -> float:
    """Return |A and B| / |A or B| over the counted pixels; 1 if both are empty."""
    common, total = _areas(predicted, truth, counted)
    return 1.0 if total == 0 else common / (total - common)


def _areas(predicted: BoolArray, truth: BoolArray, counted: BoolArray | None) -> tuple[int, int]:
    """Return |A and B| and |A| + |B|.

    Raises:
        ValueError: the masks differ in size, which broadcasting would hide.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"a mask of {predicted.shape} pixels against one of {truth.shape}")
    if counted is not None:
        predicted, truth = predicted & counted, truth & counted
    return int((predicted & truth).sum()), int(predicted.sum()) + int(truth.sum())
