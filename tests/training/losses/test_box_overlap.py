"""Generalized IoU against torchvision, and its gradient where boxes are empty."""

import torch
from torchvision.ops import generalized_box_iou_loss

from training.losses.box_overlap import giou_losses


def _boxes(seed: int) -> torch.Tensor:
    start, side = torch.rand(2, 200, 2, generator=torch.Generator().manual_seed(seed)).unbind()
    return torch.cat([start, start + side], dim=1)


def test_values_and_gradients_are_those_of_torchvision() -> None:
    found, expected = (_boxes(0).requires_grad_() for _ in range(2))
    ours = giou_losses(found, _boxes(1))
    theirs = generalized_box_iou_loss(expected, _boxes(1))
    torch.testing.assert_close(ours, theirs)
    for output in (ours, theirs):
        output.sum().backward()
    torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-5)


def test_empty_boxes_have_a_finite_loss_and_gradient() -> None:
    empty = torch.zeros(3, 4, requires_grad=True)
    loss = giou_losses(empty, torch.zeros(3, 4))
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert empty.grad is not None
    assert torch.isfinite(empty.grad).all()
