"""The pseudo mask, step by step, on maps small enough to follow."""

import itertools
import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from training.config.pretrain import BodyRule, Threshold
from training.losses.pseudo_mask import percentile, pseudo_mask, smooth_edges

RISING = torch.arange(16.0).view(1, 1, 4, 4)


def _plain(attention: Tensor, images: Tensor | None = None, **changes: Any) -> Tensor:
    """The mask of scores on their own grid, without body mask and smoothing unless asked for."""
    if images is None:
        images = torch.ones(len(attention), 1, *attention.shape[2:])
    return pseudo_mask(attention, images, **{"body": None, "smooth": False} | changes)


@pytest.mark.parametrize(("threshold", "first"), [("median", 8), ("p75", 12), ("p85", 13)])
def test_scores_above_the_percentile_are_the_mask(threshold: Threshold, first: int) -> None:
    assert torch.equal(_plain(RISING, threshold=threshold), (first <= RISING).float())


@pytest.mark.parametrize(("threshold", "share"), [("median", 50), ("p75", 25), ("p85", 15)])
def test_of_a_hundred_different_scores_the_highest_are_the_mask(
    threshold: Threshold, share: int
) -> None:
    order = torch.randperm(100, generator=torch.Generator().manual_seed(1)).float()
    attention = torch.stack([order, 99 - order]).view(2, 1, 10, 10)
    expected = (attention >= 100 - share).float()
    assert torch.equal(_plain(attention, threshold=threshold), expected)


def test_scores_above_the_mean_are_the_mask() -> None:
    attention = torch.tensor([[0.0, 1.0], [2.0, 9.0]]).view(1, 1, 2, 2)  # mean 3, median 1.5
    expected = torch.tensor([[0.0, 0.0], [0.0, 1.0]]).view(1, 1, 2, 2)
    assert torch.equal(_plain(attention, threshold="mean"), expected)
    assert not _plain(torch.full((1, 1, 2, 2), 0.25), threshold="mean").any()  # none is above


@pytest.mark.parametrize("share", [0.0, 0.5, 0.75, 0.85, 1.0])
@pytest.mark.parametrize("count", [1, 2, 7, 100, 1001])
def test_a_percentile_is_that_of_numpy(count: int, share: float) -> None:
    rows = torch.rand(3, count, generator=torch.Generator().manual_seed(count))
    expected = np.quantile(rows.numpy(), share, axis=1, keepdims=True)
    np.testing.assert_allclose(percentile(rows, share).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.25, 0.5, 0.85, 1.0])
def test_a_percentile_among_equal_scores_is_that_of_numpy(share: float) -> None:
    rows = torch.tensor([[1.0, 1, 1, 1, 1], [0, 0, 0, 3, 3], [2, 0, 2, 1, 2], [0, 0, 0, 0, 5]])
    expected = np.quantile(rows.numpy(), share, axis=1, keepdims=True)
    np.testing.assert_allclose(percentile(rows, share).numpy(), expected, rtol=1e-6)


def test_a_percentile_selects_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    select = Tensor.kthvalue

    def noted(scores: Tensor, k: int, **how: Any) -> Any:
        calls.append(k)
        return select(scores, k, **how)

    monkeypatch.setattr(Tensor, "kthvalue", noted)
    assert percentile(torch.arange(10.0)[None], 0.85).item() == pytest.approx(7.65)
    assert calls == [8]


def _two_heaps(low: int, high: int) -> Tensor:
    """Scores near 0.1 and fewer near 0.9, on a 10 x 10 grid, the high ones first."""
    generator = torch.Generator().manual_seed(2)
    near = torch.cat([torch.full((high,), 0.9), torch.full((low,), 0.1)])
    return (near + 0.02 * torch.randn(low + high, generator=generator)).view(1, 1, 10, 10)


@pytest.mark.parametrize("high", [5, 30, 60])
def test_the_mixture_finds_the_higher_of_two_heaps_whatever_its_share(high: int) -> None:
    attention = _two_heaps(100 - high, high)
    expected = (torch.arange(100) < high).float().view(1, 1, 10, 10)
    assert torch.equal(_plain(attention, threshold="gmm"), expected)
    assert torch.equal(_plain(attention * 1e-6, threshold="gmm"), expected)


def test_the_mixture_is_fitted_to_the_body_alone() -> None:
    attention = _two_heaps(80, 20)  # rows 0 and 1 high
    images = torch.full((1, 1, 10, 10), 0.9)
    images[:, :, :, 5:] = 0.05  # the right half is no body: its zeros are no component
    expected = torch.zeros(1, 1, 10, 10)
    expected[:, :, :2, :5] = 1.0
    found = _plain(attention, images, threshold="gmm", body="otsu")
    assert torch.equal(found, expected)


def test_a_map_of_one_value_has_no_high_scores() -> None:
    flat = torch.full((1, 1, 4, 4), 0.02)
    for threshold in get_args(Threshold):
        assert _plain(flat, threshold=threshold).sum() == 0


def test_without_aggregation_each_head_has_a_mask_of_its_own() -> None:
    attention = torch.cat([RISING, 15 - RISING], dim=1)
    together = _plain(attention, threshold="p75")
    apart = _plain(attention, threshold="p75", aggregate_heads=False)
    assert together.sum() == 0  # the mean of both is flat
    assert torch.equal(apart, torch.cat([(RISING >= 12), (RISING < 4)], dim=1).float())


def test_nearest_up_sampling_keeps_the_squares_of_the_attention_map() -> None:
    attention = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).view(1, 1, 2, 2)
    images = torch.ones(1, 1, 6, 6)
    mask = _plain(attention, images, threshold="median", upsampling="nearest")
    assert torch.equal(mask[0, 0], (torch.arange(6) >= 3).float().view(6, 1).expand(6, 6))


@pytest.mark.parametrize("use_body_mask", [True, False])
@pytest.mark.parametrize("smooth", [True, False])
def test_body_mask_and_smoothing_are_switches(use_body_mask: bool, smooth: bool) -> None:
    images = torch.full((1, 1, 4, 4), 0.05)
    images[:, :, :2] = 0.8
    body, everywhere = (RISING >= 4) & (RISING < 8), RISING >= 12
    sharp = (body if use_body_mask else everywhere).float()
    rule: BodyRule | None = "otsu" if use_body_mask else None
    found = pseudo_mask(RISING, images, threshold="p75", body=rule, smooth=smooth)
    assert torch.equal(found, smooth_edges(sharp) if smooth else sharp)


def test_heads_are_averaged_and_scores_resampled_to_the_image() -> None:
    attention = torch.zeros(1, 2, 2, 2)
    attention[0, 0, 0, 0] = attention[0, 1, 0, 1] = 1.0
    mask = _plain(attention, torch.ones(1, 1, 8, 8), threshold="median")
    assert bool((mask[0, 0, :4] == 1).all())
    assert bool((mask[0, 0, 4:] == 0).all())


def test_no_gradient_flows_through_the_mask() -> None:
    for threshold in get_args(Threshold):
        attention = RISING.clone().requires_grad_()
        images = torch.rand(1, 1, 4, 4, requires_grad=True)
        assert not pseudo_mask(attention, images, threshold=threshold).requires_grad


def _bilateral_by_definition(image: Tensor, radius: int, space: float, value: float) -> Tensor:
    """Each pixel: the mean of its window, weighted by distance in space and in value."""
    height, width = image.shape
    result = torch.zeros_like(image)
    for y, x in itertools.product(range(height), range(width)):
        above = below = 0.0
        for dy, dx in itertools.product(range(-radius, radius + 1), repeat=2):
            near = image[min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)].item()
            distance = (near - image[y, x].item()) ** 2 / (2 * value**2)
            weight = math.exp(-(dy**2 + dx**2) / (2 * space**2) - distance)
            above, below = above + weight * near, below + weight
        result[y, x] = above / below
    return result


def test_smoothing_is_the_bilateral_filter_of_the_textbook() -> None:
    mask = (torch.rand(2, 1, 9, 11, generator=torch.Generator().manual_seed(0)) > 0.6).float()
    smooth = smooth_edges(mask)
    for one, found in zip(mask[:, 0], smooth[:, 0], strict=True):
        torch.testing.assert_close(found, _bilateral_by_definition(one, 3, 2.0, 0.5))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_smoothing_keeps_a_mask_of_one_value(value: float) -> None:
    mask = torch.full((2, 1, 9, 9), value)
    torch.testing.assert_close(smooth_edges(mask), mask)


def test_smoothing_rounds_a_corner_and_leaves_the_inside() -> None:
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 8:, 8:] = 1.0
    smooth = smooth_edges(mask)[0, 0]
    assert smooth[8, 8] < smooth[8, 20] < 1.0
    assert smooth[20, 20].item() == pytest.approx(1.0)
    assert smooth[2, 2].item() == 0.0
