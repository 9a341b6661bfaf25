"""The contrast with short statements against values worked out by hand."""

import math

import pytest
import torch

from training.losses.statements import statement_loss

IMAGE = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
TEXT = torch.tensor([[1.0, 0.0], [0.0, 5.0], [3.0, 4.0]])
"""Cosines: [[1, 0, 0.6], [0, 1, 0.8]]."""


def _contrast(true: float, *false: float) -> float:
    return math.log(1 + sum(math.exp(each - true) for each in false))


def test_true_pairs_are_contrasted_with_the_false_ones_of_image_and_of_statement() -> None:
    truth = torch.tensor([[1, -1, 1], [-1, 1, -1]])
    images = ((_contrast(1, 0) + _contrast(0.6, 0)) / 2 + _contrast(1, 0, 0.8)) / 2
    statements = (_contrast(1, 0) + _contrast(1, 0) + _contrast(0.6, 0.8)) / 3
    loss = statement_loss(IMAGE, TEXT, truth, temperature=1.0)
    assert loss.item() == pytest.approx(images + statements, abs=1e-6)


def test_what_is_not_known_is_no_negative() -> None:
    truth = torch.tensor([[1, -1, 0], [0, 1, -1]])
    expected = (_contrast(1, 0) + _contrast(1, 0.8)) / 2  # statements have no false image of a pair
    image = IMAGE.clone().requires_grad_()
    loss = statement_loss(image, TEXT[:, :], truth, temperature=1.0)
    assert loss.item() == pytest.approx(expected + _contrast(1, 0), abs=1e-6)


@pytest.mark.parametrize("value", [0, 1, -1])
def test_a_batch_without_a_contrast_has_loss_and_gradient_zero(value: int) -> None:
    image, text = IMAGE.clone().requires_grad_(), TEXT.clone().requires_grad_()
    loss = statement_loss(image, text, torch.full((2, 3), value))
    loss.backward()
    assert loss.item() == 0
    assert image.grad is not None
    assert float(image.grad.abs().sum()) == 0
