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
    same = torch.ones(2, 2, dtype=torch.bool)
    alike = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    without = contrastive_loss(IMAGE[:1].repeat(2, 1), alike, symmetric=False)
    with_same = contrastive_loss(IMAGE[:1].repeat(2, 1), alike, symmetric=False, same=same)
    torch.testing.assert_close(without, with_same)  # equal logits: the least that can be reached
    image = torch.tensor([[1.0, 0.2], [1.0, 0.1]], requires_grad=True)
    loss = contrastive_loss(image, alike, symmetric=False, same=same)
    assert torch.autograd.grad(loss, image)[0].abs().max() < 1e-6


def test_same_of_the_diagonal_alone_is_the_loss_of_the_paper() -> None:
    same = torch.eye(2, dtype=torch.bool)
    torch.testing.assert_close(
        contrastive_loss(IMAGE, TEXT, same=same), contrastive_loss(IMAGE, TEXT)
    )
