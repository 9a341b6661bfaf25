"""Losses of masks against values worked out by hand."""

import math

import pytest
import torch

from training.losses.segmentation import (
    known_mask_loss,
    mgca_mask_loss,
    pixel_bce,
    pseudo_alignment_loss,
    reconstruction_loss,
    released_alignment_loss,
    soft_dice_loss,
)

ONE_OF_FOUR = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])


def test_dice_of_two_predicted_pixels_and_one_true_pixel() -> None:
    logits = torch.tensor([[[[50.0, 50.0], [-50.0, -50.0]]]])
    assert soft_dice_loss(logits, ONE_OF_FOUR).item() == pytest.approx(1 - (2 + 1) / (3 + 1))


def test_dice_of_two_empty_maps_is_perfect() -> None:
    empty = torch.full((1, 1, 2, 2), -50.0)
    assert soft_dice_loss(empty, torch.zeros(1, 1, 2, 2)).item() == pytest.approx(0.0)


def test_cross_entropy_of_an_undecided_map_is_log_2() -> None:
    assert pixel_bce(torch.zeros(1, 1, 2, 2), ONE_OF_FOUR).item() == pytest.approx(math.log(2))


def test_uncounted_pixels_change_nothing() -> None:
    weight = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    right, wrong = (torch.tensor([[[[50.0, -50.0], [x, x]]]]) for x in (-50.0, 50.0))
    for loss in (soft_dice_loss, pixel_bce):
        torch.testing.assert_close(
            loss(right, ONE_OF_FOUR, weight), loss(wrong, ONE_OF_FOUR, weight)
        )


def test_pseudo_alignment_is_half_of_dice_and_cross_entropy() -> None:
    dice = 1 - (2 * 0.5 + 1) / (2 + 1 + 1)
    loss = pseudo_alignment_loss(torch.zeros(1, 1, 2, 2), ONE_OF_FOUR)
    assert loss.item() == pytest.approx(0.5 * (dice + math.log(2)))


def test_masks_of_two_heads_are_the_mean_of_both() -> None:
    logits = torch.tensor([[[[0.0]], [[math.log(3)]]]])  # probabilities 1/2 and 3/4
    mask = torch.tensor([[[[1.0]], [[0.0]]]])
    dice = ((1 - 2 / 2.5) + (1 - 1 / 1.75)) / 2
    entropy = (math.log(2) + math.log(4)) / 2
    loss = pseudo_alignment_loss(logits, mask)
    assert loss.item() == pytest.approx(0.5 * (dice + entropy), rel=1e-5)


def test_the_released_loss_is_dice_of_raw_logits_and_a_fifth_of_the_cross_entropy() -> None:
    logits = torch.tensor([[[[2.0, -1.0], [0.0, 0.0]]]])
    dice = 1 - (2 * 2.0) / (1.0 + 1.0)  # below 0: no share of a pixel
    entropy = (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1)) + 2 * math.log(2)) / 4
    loss = released_alignment_loss(logits, ONE_OF_FOUR)
    assert loss.item() == pytest.approx(dice + 0.2 * entropy, rel=1e-4)


def test_the_released_loss_is_the_mean_of_the_images() -> None:
    logits = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    mask = torch.ones(2, 1, 1, 1)
    dice = ((1 - 2 / 2) + (1 - 6 / 4)) / 2
    entropy = (math.log1p(math.exp(-1)) + math.log1p(math.exp(-3))) / 2
    loss = released_alignment_loss(logits, mask)
    assert loss.item() == pytest.approx(dice + 0.2 * entropy, rel=1e-4)


def test_dice_of_the_paper_stays_between_0_and_1_where_the_released_one_does_not() -> None:
    logits = torch.full((1, 1, 2, 2), -1.0)
    assert 0 <= pseudo_alignment_loss(logits, ONE_OF_FOUR).item() <= 1
    logits[0, 0, 0, 0] = 1.5  # logits and mask sum to -0.5
    assert released_alignment_loss(logits, ONE_OF_FOUR).item() > 5


def test_reconstruction_is_the_mean_square_of_what_is_missing() -> None:
    logits = torch.tensor([[[[0.0, math.log(3)]]]])  # 1/2 and 3/4
    images = torch.tensor([[[[1.0, 0.25]]]])
    assert reconstruction_loss(logits, images).item() == pytest.approx((0.25 + 0.25) / 2)


def test_maps_that_are_not_known_do_not_count() -> None:
    logits = torch.zeros(1, 2, 2, 2)
    target, counted = ONE_OF_FOUR.repeat(1, 2, 1, 1), torch.ones(1, 1, 2, 2)
    known = torch.tensor([[True, False]])
    one = known_mask_loss(logits, target, known, counted)
    assert one.item() == pytest.approx(0.5 + math.log(2))
    assert known_mask_loss(logits, target, known & False, counted).item() == 0.0


def test_the_loss_of_mgca_is_ten_times_focal_minus_log_dice() -> None:
    """Every pixel has probability 1/2: focal 1/4 * log 2, Dice (2 * 1/2 + 1) / (2 + 1 + 1)."""
    known, counted = torch.tensor([[True]]), torch.ones(1, 1, 2, 2)
    loss = mgca_mask_loss(torch.zeros(1, 1, 2, 2), ONE_OF_FOUR, known, counted)
    assert loss.item() == pytest.approx(10 * math.log(2) / 4 + math.log(2))


def test_the_dice_of_mgca_is_that_of_the_joined_batch() -> None:
    logits = torch.tensor([0.0, math.log(3)]).view(2, 1, 1, 1)  # probabilities 1/2 and 3/4
    target = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)
    focal = (0.5**2 * math.log(2) + 0.75**2 * math.log(4)) / 2
    dice = (2 * 0.5 + 1) / (0.5 + 0.75 + 1 + 1)
    loss = mgca_mask_loss(logits, target, torch.ones(2, 1).bool(), torch.ones(2, 1, 1, 1))
    assert loss.item() == pytest.approx(10 * focal - math.log(dice))


def test_the_loss_of_mgca_leaves_out_what_is_not_annotated() -> None:
    logits = torch.tensor([[[[0.0, 9.0]], [[9.0, 9.0]]]])  # 1 x 2 x 1 x 2
    target = torch.tensor([[[[1.0, 0.0]], [[0.0, 0.0]]]])
    known, counted = torch.tensor([[True, False]]), torch.tensor([[[[1.0, 0.0]]]])
    loss = mgca_mask_loss(logits, target, known, counted)
    assert loss.item() == pytest.approx(10 * math.log(2) / 4 - math.log(2 / 2.5))
    assert mgca_mask_loss(logits, target, known & False, counted).item() == 0.0


@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_the_loss_of_mgca_and_its_gradient_are_finite_for_certain_maps(logit: float) -> None:
    logits = torch.full((1, 1, 2, 2), logit, requires_grad=True)
    mgca_mask_loss(logits, ONE_OF_FOUR, torch.tensor([[True]]), torch.ones(1, 1, 2, 2)).backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
