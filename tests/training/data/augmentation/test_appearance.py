"""Changes of appearance: each does what its key says, and none does anything at 0."""

from typing import Any

import pytest
import torch
from torch import Tensor

from training.config.augmentation import AppearanceConfig, AugmentConfig
from training.data.augmentation.appearance import change_appearance, change_export, frame
from training.data.augmentation.augment import augment

OFF = AppearanceConfig.model_validate(
    {name: 0 for name in AppearanceConfig.model_fields if name != "border_width"}
)
STILL = AugmentConfig(rotate_deg=0, translate=0, scale=0, gamma=0, contrast=0, noise=0)
SIDE = 64


def _only(**keys: Any) -> AppearanceConfig:
    return OFF.model_copy(update=keys)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _ramp(count: int = 8) -> Tensor:
    return torch.linspace(0, 1, SIDE).view(1, 1, 1, SIDE).repeat(count, 1, SIDE, 1)


def _changed(images: Tensor, config: AppearanceConfig, seed: int = 0) -> Tensor:
    generator = _generator(seed)
    inside = torch.ones_like(images, dtype=torch.bool)
    return change_export(change_appearance(images, config, generator), inside, config, generator)


def test_nothing_changes_when_everything_is_off() -> None:
    images = torch.rand(4, 1, SIDE, SIDE, generator=_generator())
    torch.testing.assert_close(_changed(images, OFF), images)
    torch.testing.assert_close(frame(4, OFF, _generator()), torch.eye(3).repeat(4, 1, 1))


@pytest.mark.parametrize("name", sorted({*AppearanceConfig.model_fields} - {"border_width"}))
def test_every_switch_changes_images_within_the_range(name: str) -> None:
    images = _ramp() * 0.8 + 0.1
    config = _only(**{name: 0.5, "border_share": 1.0})
    changed = augment(
        images, None, STILL.model_copy(update={"appearance": config}), _generator()
    ).images
    without = augment(
        images,
        None,
        STILL.model_copy(update={"appearance": _only(border_share=1.0 - (name == "border_share"))}),
        _generator(),
    ).images
    assert not torch.equal(changed, without)
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_tone_curves_rise_from_black_to_white() -> None:
    changed = _changed(_ramp(), _only(tone=0.5))
    torch.testing.assert_close(changed[..., 0], torch.zeros(8, 1, SIDE))
    torch.testing.assert_close(changed[..., -1], torch.ones(8, 1, SIDE))
    assert (changed.diff(dim=3) > 0).all()
    assert (changed - _ramp()).abs().amax(dim=(1, 2, 3)).min() > 0.01


def test_a_window_maps_its_limits_to_black_and_white() -> None:
    changed = _changed(_ramp(200), _only(window=0.2))
    # A line through (low, 0) and (high, 1), with both limits up to 0.2 off.
    slopes = (changed[:, 0, 0, 33] - changed[:, 0, 0, 30]) / (3 / (SIDE - 1))
    assert slopes.min() > 1 / 1.4 - 1e-4
    assert slopes.max() < 1 / 0.6 + 1e-4


def test_local_contrast_changes_fine_and_leaves_flat() -> None:
    flat = torch.full((4, 1, SIDE, SIDE), 0.4)
    torch.testing.assert_close(_changed(flat, _only(local_contrast=1.0)), flat)
    stripes = flat + 0.1 * torch.tensor([-1.0, 1.0]).repeat(SIDE // 2)
    spread = _changed(stripes, _only(local_contrast=1.0)).flatten(1).std(dim=1) / stripes[0].std()
    assert spread.min() > 0.45
    assert spread.max() < 2.05
    assert spread.max() - spread.min() > 0.1


def test_collimation_darkens_the_edges_and_keeps_the_middle() -> None:
    white = torch.ones(50, 1, SIDE, SIDE)
    changed = _changed(white, _only(collimation_share=1.0))
    middle = slice(SIDE // 8, -SIDE // 8)
    assert (changed[:, :, middle, middle] == 1).all()
    assert changed.flatten(1).amin(dim=1).max() <= 0.15


def test_markers_brighten_a_few_pixels_near_the_upper_or_lower_edge() -> None:
    black = torch.zeros(60, 1, SIDE, SIDE)
    changed = _changed(black, _only(marker_share=1.0))
    lit = (changed > 0.3).flatten(1).float().mean(dim=1)
    assert lit.max() < 0.1
    assert (lit > 0).float().mean() > 0.9
    assert (changed[:, :, SIDE // 3 : -SIDE // 3] == 0).all()


def test_a_share_changes_that_share_of_the_images() -> None:
    white = torch.ones(400, 1, 16, 16)
    inverted = _changed(white, _only(inverted_share=0.25)).flatten(1).mean(dim=1)
    assert set(inverted.tolist()) == {0.0, 1.0}
    assert 0.19 < (inverted == 0).float().mean() < 0.31


def test_a_frame_surrounds_the_image_and_moves_masks_and_boxes_with_it() -> None:
    images = torch.full((30, 1, SIDE, SIDE), 0.5)
    masks = torch.zeros(30, 1, SIDE, SIDE, dtype=torch.uint8)
    masks[:, :, 16:48, 8:40] = 1
    config = _only(border_share=1.0, border_width=0.2, white_border_share=0.5)
    changed = augment(images, masks, STILL.model_copy(update={"appearance": config}), _generator(2))
    assert changed.masks is not None
    values = [(changed.images - value).abs() < 1e-5 for value in (0.0, 0.5, 1.0)]
    assert all(of_value.any() for of_value in values)
    assert sum(of_value.float().mean() for of_value in values) > 0.97  # the edge is interpolated
    box = torch.tensor([[8.0, 16.0, 40.0, 48.0]]) / SIDE
    for index in range(30):
        ys, xs = torch.where(changed.masks[index, 0] == 1)
        bounds = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        assert (bounds - changed.geometry.move_boxes(index, box)[0] * SIDE).abs().max() <= 1
        scale = changed.geometry.matrix[index, 0, 0].item()
        assert 0.6 <= scale <= 1
        shown = (changed.images[index] == 0.5).float().mean().item()
        assert scale**2 - 0.08 < shown < scale**2 + 0.01  # but for the interpolated edge


def test_a_lower_resolution_loses_fine_stripes_and_keeps_the_mean() -> None:
    stripes = torch.tensor([0.0, 1.0]).repeat(SIDE // 2).view(1, 1, 1, SIDE)
    images = stripes.repeat(20, 1, SIDE, 1)
    changed = _changed(images, _only(resolution_share=1.0))
    assert changed.flatten(1).std(dim=1).max() < 0.4
    assert (changed.flatten(1).mean(dim=1) - 0.5).abs().max() < 0.02


def test_jpeg_is_that_of_the_library() -> None:
    images = torch.rand(3, 1, SIDE, SIDE, generator=_generator())
    changed = _changed(images, _only(jpeg_share=1.0))
    assert (changed * 255 - (changed * 255).round()).abs().max() < 1e-3  # whole samples
    assert 0.02 < (changed - images).abs().mean() < 0.25


def test_equal_seeds_give_equal_images() -> None:
    images, config = _ramp(), AppearanceConfig()
    assert torch.equal(_changed(images, config, 7), _changed(images, config, 7))
    assert not torch.equal(_changed(images, config, 7), _changed(images, config, 8))
