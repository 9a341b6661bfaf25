"""Augmentation: masks and boxes move with the image, and left stays left."""

import pytest
import torch

from training.config.augmentation import (
    Augmentation,
    AugmentConfig,
    CropConfig,
    PaperAugmentConfig,
    ReleasedAugmentConfig,
    ShiftScaleRotateConfig,
)
from training.data.augmentation import warp
from training.data.augmentation.augment import augment

STILL = AugmentConfig(rotate_deg=0, translate=0, scale=0, gamma=0, contrast=0, noise=0)


PAPER = PaperAugmentConfig(kind="paper")
RELEASED = ReleasedAugmentConfig(kind="released")
STRONG_PAPER = PaperAugmentConfig(kind="paper", perspective_share=1.0, autocontrast_share=0.0)
MGCA = ShiftScaleRotateConfig(kind="shift_scale_rotate")
KINDS: list[Augmentation] = [AugmentConfig(), STRONG_PAPER, RELEASED, MGCA]
BY_KIND = pytest.mark.parametrize("config", KINDS, ids=lambda config: str(config.kind))


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@BY_KIND
def test_left_stays_left_and_up_stays_up(config: Augmentation) -> None:
    """Follow the midpoints of the four sides."""
    changed = augment(torch.rand(500, 1, 8, 8), None, config, _generator())
    middles = torch.tensor([[0.0, 0.5], [1.0, 0.5], [0.5, 0.0], [0.5, 1.0]])
    left, right, top, bottom = warp.move(middles, changed.geometry.matrix).unbind(1)
    assert bool((left[:, 0] < right[:, 0]).all())
    assert bool((top[:, 1] < bottom[:, 1]).all())
    (ax, ay), (bx, by) = (right - left).unbind(1), (bottom - top).unbind(1)
    assert bool((ax * by - ay * bx > 0).all())  # as in the image: never mirrored


def test_nothing_moves_when_every_strength_is_zero() -> None:
    images = torch.rand(2, 1, 16, 16)
    masks = (torch.rand(2, 3, 16, 16) > 0.5).to(torch.uint8) * 129
    changed = augment(images, masks, STILL, _generator())
    torch.testing.assert_close(changed.images, images)
    assert changed.masks is not None
    assert torch.equal(changed.masks, masks)


@BY_KIND
@pytest.mark.parametrize("seed", range(4))
def test_a_mask_lies_in_the_bounds_of_its_moved_box(config: Augmentation, seed: int) -> None:
    side = 128
    masks = torch.zeros(1, 2, side, side, dtype=torch.uint8)
    masks[0, 1, 40:90, 50:80] = 5
    box = torch.tensor([[50.0, 40.0, 80.0, 90.0]])
    changed = augment(masks[:, 1:].float() / 5, masks, config, _generator(seed))
    assert changed.masks is not None
    ys, xs = torch.where(changed.masks[0, 1] == 5)
    bounds = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).float()
    moved = changed.geometry.move_boxes(0, box / side)[0] * side
    assert (bounds - moved).abs().max() <= 1.5


@pytest.mark.parametrize("seed", range(8))
def test_a_mask_and_its_box_move_together(seed: int) -> None:
    side = 128
    masks = torch.zeros(1, 2, side, side, dtype=torch.uint8)
    masks[0, 1, 40:90, 50:80] = 5
    box = torch.tensor([[50.0, 40.0, 80.0, 90.0]])
    changed = augment(masks[:, 1:].float() / 5, masks, AugmentConfig(), _generator(seed))
    assert changed.masks is not None
    ys, xs = torch.where(changed.masks[0, 1] == 5)
    bounds = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).float()
    moved = changed.geometry.move_boxes(0, box / side)[0] * side
    assert (bounds - moved).abs().max() <= 1.0


def test_image_and_mask_move_together() -> None:
    masks = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    masks[0, 0, 20:50, 10:40] = 1
    geometric = STILL.model_copy(update={"rotate_deg": 10.0, "translate": 0.1, "scale": 0.1})
    changed = augment(masks.float(), masks, geometric, _generator(1))
    assert changed.masks is not None
    differing = (changed.images[0, 0] > 0.5) != (changed.masks[0, 0] == 1)
    assert differing.float().mean() < 0.005


@BY_KIND
def test_equal_seeds_give_equal_batches_within_the_range(config: Augmentation) -> None:
    images = torch.rand(3, 1, 16, 16)
    first, second, other = (
        augment(images, None, config, _generator(seed)).images for seed in (4, 4, 5)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1


def test_a_box_that_leaves_the_image_is_cut_at_its_edge() -> None:
    changed = augment(torch.rand(1, 1, 8, 8), None, STILL, _generator())
    moved = changed.geometry.move_boxes(0, torch.tensor([[-0.5, 0.2, 0.4, 1.5]]))
    assert moved[0].tolist() == pytest.approx([0.0, 0.2, 0.4, 1.0])


def test_perspective_takes_the_corners_where_they_should_go() -> None:
    corners = torch.tensor([[[0.1, 0.2], [0.9, 0.0], [1.0, 0.8], [0.0, 1.0]]])
    matrix = warp.perspective(corners)
    torch.testing.assert_close(warp.move(torch.tensor(warp.CORNERS), matrix), corners)
    inside = warp.move(torch.tensor([[0.5, 0.5]]), matrix)[0, 0]
    crossing = torch.tensor([0.4875, 0.4583])  # of the diagonals: they stay straight
    torch.testing.assert_close(inside, crossing, rtol=0, atol=1e-3)


def test_perspective_moves_corners_inwards_and_no_further_than_asked() -> None:
    changed = augment(torch.rand(200, 1, 8, 8), None, STRONG_PAPER, _generator())
    moved = warp.move(torch.tensor(warp.CORNERS), changed.geometry.matrix)
    inwards = (moved - torch.tensor(warp.CORNERS)) * (1 - 2 * torch.tensor(warp.CORNERS))
    assert inwards.min() >= -1e-5
    assert 0.2 < inwards.max() <= 0.25 + 1e-5  # half of half a side


def test_perspective_shows_the_image_in_the_quadrilateral_and_black_around_it() -> None:
    changed = augment(torch.ones(1, 1, 64, 64), None, STRONG_PAPER, _generator(3))
    quadrilateral = warp.move(torch.tensor(warp.CORNERS), changed.geometry.matrix)[0]
    x, y = quadrilateral.unbind(1)
    area = 0.5 * (x * y.roll(-1) - y * x.roll(-1)).sum()  # the shoelace
    assert changed.images.mean().item() == pytest.approx(area.item(), abs=0.01)


def test_the_paper_distorts_half_and_stretches_half_of_the_images() -> None:
    images = torch.rand(400, 1, 8, 8) * 0.5 + 0.2
    changed = augment(images, None, PAPER, _generator())
    still = (changed.geometry.matrix - torch.eye(3)).abs().amax(dim=(1, 2)) < 1e-5
    assert 0.4 < still.float().mean() < 0.6
    spans = changed.images[still].flatten(1)
    stretched = (spans.amin(1) == 0) & (spans.amax(1) == 1)
    assert 0.35 < stretched.float().mean() < 0.65
    torch.testing.assert_close(changed.images[still][~stretched], images[still][~stretched])


def test_auto_contrast_spans_the_range_and_leaves_a_flat_image() -> None:
    stretch = PaperAugmentConfig(kind="paper", perspective_share=0, autocontrast_share=1)
    images = torch.stack([torch.tensor([[0.2, 0.4], [0.5, 0.7]]), torch.full((2, 2), 0.3)])
    changed = augment(images.unsqueeze(1), None, stretch, _generator()).images
    expected = torch.stack([torch.tensor([[0.0, 0.4], [0.6, 1.0]]), torch.full((2, 2), 0.3)])
    torch.testing.assert_close(changed[:, 0], expected)


def test_the_released_changes_keep_within_their_angles_and_factors() -> None:
    changed = augment(torch.full((300, 1, 8, 8), 0.5), None, RELEASED, _generator())
    linear = changed.geometry.matrix[:, :2, :2]
    turn = torch.atan2(linear[:, 1, 0], linear[:, 0, 0]).rad2deg()
    upright = torch.atan2(linear[:, 0, 1], linear[:, 1, 1]).rad2deg() + turn  # of the shear alone
    for angle in (turn, upright):
        assert 12 < angle.abs().max() <= 15.1
    middle = changed.images[:, 0, 4, 4] / 0.5
    assert 0.75 < middle.min() < 0.85
    assert 1.15 < middle.max() < 1.25
    torch.testing.assert_close(torch.linalg.det(linear), torch.ones(300))  # no scaling


def test_half_of_the_images_are_scaled_by_a_tenth_and_rotated_by_ten_degrees_at_most() -> None:
    changed = augment(torch.full((400, 1, 8, 8), 0.5), None, MGCA, _generator())
    linear = changed.geometry.matrix[:, :2, :2]
    still = (linear - torch.eye(2)).abs().amax(dim=(1, 2)) < 1e-6
    assert 0.4 < still.float().mean() < 0.6
    moved = linear[~still]
    angle = torch.atan2(moved[:, 1, 0], moved[:, 0, 0]).rad2deg()
    assert 9 < angle.abs().max() <= 10.01
    scale = torch.linalg.det(moved).sqrt()
    assert 0.9 <= scale.min() < 0.92
    assert 1.08 < scale.max() <= 1.1
    centre = warp.move(torch.tensor([[0.5, 0.5]]), changed.geometry.matrix)
    torch.testing.assert_close(centre, torch.full_like(centre, 0.5))  # nothing is shifted
    torch.testing.assert_close(changed.images[:, 0, 4, 4], torch.full((400,), 0.5))


def test_a_crop_is_a_square_of_the_image_wherever_it_fits() -> None:
    side, crop = 40, CropConfig(kind="crop", crop_px=32)
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    image = (row * side + column).float() / side**2  # every pixel knows its place
    masks = (row % 3 + 1).to(torch.uint8).expand(300, 1, side, side)
    changed = augment(image.expand(300, 1, side, side), masks, crop, _generator())
    assert changed.images.shape == (300, 1, 32, 32)
    assert changed.masks is not None
    corners = (changed.images[:, 0, 0, 0] * side**2).round().long()
    assert set((corners // side).tolist()) == set((corners % side).tolist()) == set(range(9))
    y, x = int(corners[0]) // side, int(corners[0]) % side
    assert torch.equal(changed.images[0, 0], image[y : y + 32, x : x + 32])
    assert torch.equal(changed.masks[0], masks[0, :, y : y + 32, x : x + 32])
    box = changed.geometry.move_boxes(0, torch.tensor([[10.0, 12.0, 30.0, 31.0]]) / side)[0] * 32
    assert box.tolist() == pytest.approx([10 - x, 12 - y, 30 - x, 31 - y], abs=1e-4)
