"""The checks tell left from right, which a mean over the image cannot."""

import pytest
import torch
from torch import Tensor

from radiograph.terminology.checks import CHECKS, Check
from training.finetune.parts.checks import checks_loss
from training.heads.checks import ChecksHead, to_grid

COLUMN = CHECKS.index(Check.MIRRORED)


def maps(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return maps that are bright on one side, and whether that is the left one."""
    left = torch.arange(count) % 2 == 0
    deep = torch.zeros(count, 3, 2, 2)
    deep[left, :, :, 0], deep[~left, :, :, 1] = 1, 1
    middle = torch.nn.functional.interpolate(deep[:, :2], (4, 4))
    return middle, deep, left


def test_sides_are_learned_from_where_things_are() -> None:
    torch.manual_seed(0)
    head = ChecksHead(middle=2, deep=3, width=8, hidden=16)
    middle, deep, left = maps(32)
    truth = torch.zeros(32, len(CHECKS))
    truth[:, COLUMN] = left.float()
    optimiser = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(40):
        optimiser.zero_grad()
        logits = head(middle, deep)["logits"]
        checks_loss(logits, truth, torch.ones_like(truth, dtype=torch.bool)).backward()
        optimiser.step()
    found = head.eval()(middle, deep)["logits"]
    assert found.shape == (32, len(CHECKS))
    assert torch.equal(found[:, COLUMN] > 0, left)


def test_maps_of_any_size_come_to_the_same_grid() -> None:
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert to_grid(maps).shape == (1, 1, 7, 7)
    whole = torch.rand(1, 2, 14, 14)  # of 224 px: two by two cells are averaged
    torch.testing.assert_close(to_grid(whole), torch.nn.functional.avg_pool2d(whole, 2))


def test_answers_that_are_not_known_do_not_count() -> None:
    logits = torch.tensor([[0.0, 50.0], [0.0, 0.0]])
    truth = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    known = torch.tensor([[True, False], [True, True]])
    # Each logit of 0 costs log 2, and each check is averaged over its known answers.
    assert checks_loss(logits, truth, known).item() == pytest.approx(2 * 0.6931472, abs=1e-5)
    assert checks_loss(logits, truth, torch.zeros_like(known)).item() == 0
