"""The contrastive loss against values worked out by hand."""

import math

import numpy as np
import pytest
import torch

from training.losses.contrastive import contrastive_loss

IMAGE = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
TEXT = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
"""Cosines: [[1, 0.6], [0, 0.8]]."""


def test_two_pairs_give_the_value_worked_out_by_hand() -> None:
    loss = contrastive_loss(IMAGE, TEXT, temperature=0.5, symmetric=False)
    by_hand = (math.log(1 + math.exp(1.2 - 2.0)) + math.log(1 + math.exp(0.0 - 1.6))) / 2
    assert loss.item() == pytest.approx(by_hand, abs=1e-6)


def test_symmetric_is_the_sum_of_both_directions() -> None:
    forth = contrastive_loss(IMAGE, TEXT, symmetric=False)
    back = contrastive_loss(TEXT, IMAGE, symmetric=False)
    torch.testing.assert_close(contrastive_loss(IMAGE, TEXT), forth + back)


def test_a_batch_agrees_with_the_formula_of_the_released_code() -> None:
    rng = np.random.default_rng(0)
    image, text = rng.standard_normal((2, 6, 5))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (image, text)]
    logits = unit[0] @ unit[1].T / 0.07
    rows = np.log(np.exp(logits).sum(axis=1)) - np.diag(logits)
    columns = np.log(np.exp(logits).sum(axis=0)) - np.diag(logits)
    ours = contrastive_loss(torch.from_numpy(image), torch.from_numpy(text))
    assert ours.item() == pytest.approx(rows.mean() + columns.mean(), abs=1e-9)


def test_rows_that_say_the_same_are_not_negatives_of_each_other() -> None:
    ids = torch.tensor([7, 7])
    alike = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    without = contrastive_loss(IMAGE[:1].repeat(2, 1), alike, symmetric=False)
    with_ids = contrastive_loss(IMAGE[:1].repeat(2, 1), alike, symmetric=False, text_ids=ids)
    torch.testing.assert_close(without, with_ids)  # equal logits: the least that can be reached
    image = torch.tensor([[1.0, 0.2], [1.0, 0.1]], requires_grad=True)
    loss = contrastive_loss(image, alike, symmetric=False, text_ids=ids)
    assert torch.autograd.grad(loss, image)[0].abs().max() < 1e-6


def test_three_rows_of_which_two_say_the_same_give_the_value_worked_out_by_hand() -> None:
    image = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    text = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    ids = torch.tensor([-5, 3, -5])
    first = math.log(2 * math.e + 1) - 1  # logits 1, 0, 1; share one half on the first and last
    second = math.log(2 * math.e + 1)  # logits 1, 0, 1; all on the middle
    third = math.log(2 + math.e)  # logits 0, 1, 0; half on the first and last
    loss = contrastive_loss(image, text, temperature=1.0, symmetric=False, text_ids=ids)
    assert loss.item() == pytest.approx((first + second + third) / 3, abs=1e-6)


def test_ids_that_all_differ_give_the_loss_of_the_paper() -> None:
    ids = torch.tensor([4, -9])
    torch.testing.assert_close(
        contrastive_loss(IMAGE, TEXT, text_ids=ids), contrastive_loss(IMAGE, TEXT)
    )
