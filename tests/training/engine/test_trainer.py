"""The training loop: accumulation, and a run that was killed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.builders.engine.tiny_engine import (
    Killed,
    RandomNumbers,
    kill_at,
    plan_of,
    read_history,
    train,
    train_task,
)
from training.data.sampling.sampler import MicroBatchIndex
from training.engine.checkpoint import CHECKPOINT
from training.engine.history import HISTORY


@pytest.mark.parametrize("killed_at", [0, 3, 4, 7])
def test_a_killed_run_continues_as_if_nothing_had_happened(tmp_path: Path, killed_at: int) -> None:
    whole = train(plan_of(tmp_path / "whole"))
    with pytest.raises(Killed):
        train(plan_of(tmp_path / "killed"), kill_at(killed_at))
    resumed = train(plan_of(tmp_path / "killed"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert read_history(tmp_path / "whole") == read_history(tmp_path / "killed")


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = train(plan_of(tmp_path))
    second = train(plan_of(tmp_path), kill_at(0))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="step 5"):
        train(plan_of(tmp_path), lambda step, total: total * (float("nan") if step == 5 else 1))
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert state["step"] == 4


class _Square(RandomNumbers):
    """Loss (w x)^2 with one weight w = 1 and x = 1, 3, ...: the gradient is 2 x^2."""

    def __init__(self) -> None:
        super().__init__()
        linear = nn.Linear(1, 1, bias=False)
        nn.init.ones_(linear.weight)
        self.module = nn.Sequential(linear)

    def loader(self, world: int) -> Callable[[MicroBatchIndex], Tensor]:
        return lambda index: torch.tensor([[1.0 + 2.0 * index.micro]])


def test_micro_batches_add_up_to_the_mean_of_their_gradients(tmp_path: Path) -> None:
    train_task(replace(plan_of(tmp_path), steps=1, accumulate=2), _Square())
    line = json.loads((tmp_path / HISTORY).read_text())
    assert (line["total"], line["gradient_norm"]) == (5.0, 10.0)
