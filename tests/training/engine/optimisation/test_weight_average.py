"""The average follows the weights that change, and survives a kill."""

from pathlib import Path

import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from tests.builders.engine.tiny_engine import (
    ENGINE,
    SCHEDULE,
    Killed,
    RandomNumbers,
    plan_of,
)
from training.engine.checkpoint import CHECKPOINT, Plan, read_checkpoint
from training.engine.optimisation.optimiser import set_up
from training.engine.optimisation.weight_average import WeightAverage
from training.engine.seeding import seed_everything
from training.engine.trainer import Trainer


def test_the_average_keeps_less_at_first_and_then_its_decay() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, 0.0)
    average = WeightAverage(module, decay=0.3)
    wanted = 0.0
    for step, keep in ((0, 0.1), (1, 2 / 11), (2, 0.25), (3, 0.3), (400, 0.3)):
        nn.init.constant_(module.weight, float(step + 1))
        average.update(step)
        wanted = keep * wanted + (1 - keep) * (step + 1)
        assert average.state()["weight"].item() == pytest.approx(wanted, rel=1e-6)


def test_running_statistics_are_averaged_and_what_does_not_change_is_as_it_is() -> None:
    norm, frozen = nn.BatchNorm1d(2), nn.Linear(2, 1)
    frozen.requires_grad_(requires_grad=False)
    module = nn.Sequential(norm, frozen)
    average = WeightAverage(module, decay=0.5)
    before = module.state_dict()["0.running_mean"].clone()
    module(torch.tensor([[1.0, 5.0], [3.0, 7.0]]))
    average.update(100)
    state = average.state()
    after = module.state_dict()["0.running_mean"]
    assert torch.allclose(state["0.running_mean"], (before + after) / 2)
    assert state["0.num_batches_tracked"].item() == 1
    assert torch.equal(state["1.weight"], frozen.weight)
    assert state.keys() == module.state_dict().keys()


def _train(plan: Plan, kill_at: int = -1) -> dict[str, Tensor]:
    """Run or resume the task with an average, and return the weights that stand for it."""

    def spoil(step: int, total: Tensor) -> Tensor:
        if step == kill_at:
            raise Killed
        return total

    seed_everything(0)
    task = RandomNumbers(spoil)
    fabric = Fabric(accelerator="cpu", devices=1)
    model, optimiser = set_up(fabric, task.module, SCHEDULE, ENGINE)
    average = WeightAverage(task.module, decay=0.9)
    Trainer(fabric, model, optimiser, task, plan, SCHEDULE, ENGINE, average=average).run()
    return read_checkpoint(plan.folder / CHECKPOINT).weights


def test_a_killed_run_ends_with_the_average_of_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = _train(plan_of(tmp_path / "whole"))
    with pytest.raises(Killed):
        _train(plan_of(tmp_path / "killed"), kill_at=5)
    again = _train(plan_of(tmp_path / "killed"))
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_the_average_stands_for_the_run_and_the_last_weights_go_on(tmp_path: Path) -> None:
    average = _train(plan_of(tmp_path / "run"))
    raw = torch.load(tmp_path / "run" / CHECKPOINT, weights_only=True)
    assert not torch.equal(average["0.weight"], raw["model"]["0.weight"])
    assert torch.equal(average["0.weight"], raw["average"]["0.weight"])
