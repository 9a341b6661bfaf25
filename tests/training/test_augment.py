"""Augmentation: masks and boxes move with the image, and left stays left."""

import pytest
import torch

from training.config import AugmentConfig
from training.data.augment import augment

STILL = AugmentConfig(rotate_deg=0, translate=0, scale=0, gamma=0, contrast=0, noise=0)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_left_stays_left_and_up_stays_up() -> None:
    changed = augment(torch.rand(500, 1, 8, 8), None, AugmentConfig(), _generator())
    linear = changed.matrix[:, :2, :2]
    assert bool((torch.linalg.det(linear) > 0).all())
    assert bool((linear.diagonal(dim1=1, dim2=2) > 0).all())


def test_nothing_moves_when_every_strength_is_zero() -> None:
    images = torch.rand(2, 1, 16, 16)
    masks = (torch.rand(2, 16, 16) > 0.5).to(torch.uint8) * 129
    changed = augment(images, masks, STILL, _generator())
    torch.testing.assert_close(changed.images, images)
    assert changed.masks is not None
    assert torch.equal(changed.masks, masks)


@pytest.mark.parametrize("seed", range(8))
def test_a_mask_and_its_box_move_together(seed: int) -> None:
    side = 128
    masks = torch.zeros(1, side, side, dtype=torch.uint8)
    masks[0, 40:90, 50:80] = 5
    box = torch.tensor([[50.0, 40.0, 80.0, 90.0]])
    changed = augment(masks.unsqueeze(1).float() / 5, masks, AugmentConfig(), _generator(seed))
    assert changed.masks is not None
    ys, xs = torch.where(changed.masks[0] == 5)
    bounds = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).float()
    moved = changed.move_boxes(0, box / side)[0] * side
    assert (bounds - moved).abs().max() <= 1.0


def test_image_and_mask_move_together() -> None:
    masks = torch.zeros(1, 64, 64, dtype=torch.uint8)
    masks[0, 20:50, 10:40] = 1
    geometric = STILL.model_copy(update={"rotate_deg": 10.0, "translate": 0.1, "scale": 0.1})
    changed = augment(masks.unsqueeze(1).float(), masks, geometric, _generator(1))
    assert changed.masks is not None
    differing = (changed.images[0, 0] > 0.5) != (changed.masks[0] == 1)
    assert differing.float().mean() < 0.005


def test_equal_seeds_give_equal_batches_within_the_range() -> None:
    images = torch.rand(3, 1, 16, 16)
    first, second, other = (
        augment(images, None, AugmentConfig(), _generator(seed)).images for seed in (4, 4, 5)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1


def test_a_box_that_leaves_the_image_is_cut_at_its_edge() -> None:
    changed = augment(torch.rand(1, 1, 8, 8), None, STILL, _generator())
    moved = changed.move_boxes(0, torch.tensor([[-0.5, 0.2, 0.4, 1.5]]))
    assert moved[0].tolist() == pytest.approx([0.0, 0.2, 0.4, 1.0])
