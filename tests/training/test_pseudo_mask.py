"""The pseudo mask, step by step, on maps small enough to follow."""

import numpy as np
import pytest
import torch
from torch import Tensor

from training.losses.pseudo_mask import (
    Threshold,
    bilateral_filter,
    body_mask,
    otsu_threshold,
    pseudo_mask,
)

RISING = torch.arange(16.0).view(1, 1, 4, 4)


@pytest.mark.parametrize(("threshold", "first"), [("median", 8), ("p75", 12), ("p85", 13)])
def test_scores_above_the_percentile_are_the_mask(threshold: Threshold, first: int) -> None:
    mask = pseudo_mask(
        RISING, torch.ones(1, 1, 4, 4), threshold=threshold, use_body_mask=False, smooth=False
    )
    assert torch.equal(mask, (first <= RISING).float())


def test_heads_are_averaged_and_scores_resampled_to_the_image() -> None:
    attention = torch.zeros(1, 2, 2, 2)
    attention[0, 0, 0, 0] = attention[0, 1, 0, 1] = 1.0
    mask = pseudo_mask(
        attention, torch.ones(1, 1, 8, 8), threshold="median", use_body_mask=False, smooth=False
    )
    assert bool((mask[0, 0, :4] == 1).all())
    assert bool((mask[0, 0, 4:] == 0).all())


def test_the_mask_is_zero_outside_of_the_body() -> None:
    images = torch.full((1, 1, 4, 4), 0.05)
    images[:, :, :2] = 0.8
    mask = pseudo_mask(RISING, images, threshold="p75", smooth=False)
    assert torch.equal(mask, ((RISING >= 4) & (RISING < 8)).float())


def test_no_gradient_flows_through_the_mask() -> None:
    attention = RISING.clone().requires_grad_()
    images = torch.rand(1, 1, 4, 4, requires_grad=True)
    assert not pseudo_mask(attention, images).requires_grad


def _otsu_by_definition(image: Tensor) -> float:
    values = (np.floor(image.double().numpy().ravel() * 256).clip(0, 255) + 0.5) / 256
    best, chosen = -1.0, 0.0
    for cut in np.arange(1, 256) / 256:
        low, high = values[values < cut], values[values >= cut]
        if len(low) and len(high):
            between = len(low) * len(high) * (low.mean() - high.mean()) ** 2
            best, chosen = (between, cut) if between > best else (best, chosen)
    return float(chosen)


def test_otsu_is_the_threshold_of_largest_variance_between_the_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 1, 48, 48, generator=generator) ** torch.tensor([0.5, 1, 3]).view(
        3, 1, 1, 1
    )
    expected = [_otsu_by_definition(image) for image in images]
    assert otsu_threshold(images).tolist() == pytest.approx(expected, abs=1 / 256 + 1e-6)


def test_the_body_is_what_is_brighter_than_the_background() -> None:
    images = torch.full((1, 1, 6, 6), 0.1)
    images[..., 2:5, 1:4] = 0.7
    assert torch.equal(body_mask(images), images > 0.5)


def test_the_bilateral_filter_keeps_a_constant_image() -> None:
    images = torch.full((2, 1, 9, 9), 0.37)
    torch.testing.assert_close(bilateral_filter(images), images)


def test_the_bilateral_filter_rounds_a_corner_and_leaves_the_inside() -> None:
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 8:, 8:] = 1.0
    smooth = bilateral_filter(mask)[0, 0]
    assert smooth[8, 8] < smooth[8, 20] < 1.0
    assert smooth[20, 20].item() == pytest.approx(1.0)
    assert smooth[2, 2].item() == 0.0
