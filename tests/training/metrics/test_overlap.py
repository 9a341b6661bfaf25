"""Dice and IoU of masks, by hand and against other implementations."""

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score
from torchmetrics.functional.classification import binary_f1_score, binary_jaccard_index
from torchmetrics.functional.segmentation import dice_score

from training.metrics import (
    dice,
    mask_iou,
)


def test_dice_and_iou_count_only_what_is_annotated() -> None:
    predicted, truth = np.array([[1, 1, 0, 1]], dtype=bool), np.array([[1, 0, 0, 0]], dtype=bool)
    counted = np.array([[1, 1, 1, 0]], dtype=bool)
    assert dice(predicted, truth) == pytest.approx(0.5)
    assert dice(predicted, truth, counted) == pytest.approx(2 / 3)
    assert mask_iou(predicted, truth) == pytest.approx(1 / 3)
    assert mask_iou(predicted, truth, counted) == pytest.approx(1 / 2)


def test_two_empty_masks_agree_and_an_empty_one_never_fits_another() -> None:
    empty, full = np.zeros((2, 2), dtype=bool), np.ones((2, 2), dtype=bool)
    assert dice(empty, empty) == mask_iou(empty, empty) == 1.0
    assert dice(empty, full) == mask_iou(empty, full) == 0.0
    assert dice(full, full, empty) == 1.0  # nothing is annotated, so nothing is wrong


def test_dice_and_iou_agree_with_torchmetrics_and_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    predicted, truth = rng.random((32, 32)) < 0.4, rng.random((32, 32)) < 0.3
    a, b = torch.tensor(predicted), torch.tensor(truth)
    theirs = dice_score(a[None, None], b[None, None], num_classes=1, input_format="one-hot")
    assert dice(predicted, truth) == pytest.approx(float(theirs.mean()), abs=1e-6)
    assert dice(predicted, truth) == pytest.approx(float(binary_f1_score(a, b)), abs=1e-6)
    assert mask_iou(predicted, truth) == pytest.approx(float(binary_jaccard_index(a, b)), abs=1e-6)
    assert mask_iou(predicted, truth) == pytest.approx(
        jaccard_score(truth.ravel(), predicted.ravel())
    )


def test_masks_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 4\) pixels against one of \(4, 4\)"):
        dice(np.ones((1, 4), dtype=bool), np.ones((4, 4), dtype=bool))
