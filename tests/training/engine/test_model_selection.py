"""Selection of weights by validation, and early stopping."""

import json
from pathlib import Path

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from tests.builders.engine.killing import killed_at_its_first_checkpoint
from training.config.engine import EngineConfig, OptimiserConfig
from training.config.finetune import ChooseConfig
from training.data.sampling.sampler import MicroBatchIndex
from training.engine.checkpoint import CHECKPOINT, Plan, preferred_checkpoint, read_checkpoint
from training.engine.model_selection import BEST, BestValidation, ModelSelector
from training.engine.optimisation.optimiser import set_up
from training.engine.trainer import Trainer

STILL = EngineConfig(accelerator="cpu", workers=0, loggers=())
RATE = OptimiserConfig(lr=0.1, warmup=0.0)


class _Slope:
    """One weight that every step moves; its validations come from a list."""

    def __init__(self, values: list[float]) -> None:
        self.module = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.module.weight)
        self.values, self.asked = values, 0
        self.rows = 1

    def loader(self, world: int) -> object:
        return lambda index: torch.ones(1, 1)

    def losses(self, model: nn.Module, batch: Tensor, index: MicroBatchIndex) -> dict[str, Tensor]:
        return {"total": model(batch).sum()}

    def panel(self, batch: Tensor) -> None:
        return None

    def validate(self) -> float:
        self.asked += 1
        return self.values[self.asked - 1]


def _run(task: _Slope, config: ChooseConfig, folder: Path, steps: int, every: int = 100) -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    plan = Plan(folder, steps, every, 0, "{}")
    model, optimiser = set_up(fabric, task.module, RATE, STILL)
    selector = ModelSelector(config, lambda: {config.by: task.validate()}, config.every)
    Trainer(fabric, model, optimiser, task, plan, RATE, STILL, selector).run()  # type: ignore[arg-type]


def _weight(path: Path) -> float:
    return read_checkpoint(path).weights["weight"].item()


def _best(folder: Path) -> dict[str, float]:
    state = torch.load(folder / BEST, weights_only=True)
    return {"step": state["step"], "valid": state["valid"]}


def test_the_best_validation_is_kept_and_the_first_of_equals(tmp_path: Path) -> None:
    task = _Slope([0.5, 0.9, 0.9, 0.1])
    _run(task, ChooseConfig(by="auroc", every=2), tmp_path, 8)
    assert task.asked == 4
    assert _best(tmp_path) == {"step": 4, "valid": 0.9}
    assert preferred_checkpoint(tmp_path) == tmp_path / BEST
    assert _weight(tmp_path / CHECKPOINT) < _weight(tmp_path / BEST) < 1.0


def test_of_losses_the_lowest_is_the_best(tmp_path: Path) -> None:
    _run(_Slope([0.5, 0.9, 0.2, 0.4]), ChooseConfig(by="loss", every=1), tmp_path, 4)
    assert _best(tmp_path) == {"step": 3, "valid": 0.2}


def test_a_run_ends_when_patience_runs_out_and_is_not_resumed(tmp_path: Path) -> None:
    choose = ChooseConfig(by="dice", every=1, patience=2)
    task = _Slope([0.3, 0.6, 0.5, 0.4, 9.0])
    _run(task, choose, tmp_path, 50)
    assert task.asked == 4
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"] == 4
    again = _Slope([])
    _run(again, choose, tmp_path, 50)
    assert again.asked == 0


def test_the_last_step_is_always_validated(tmp_path: Path) -> None:
    task = _Slope([0.1, 0.2])
    _run(task, ChooseConfig(by="dice", every=3), tmp_path, 5)
    assert _best(tmp_path) == {"step": 5, "valid": 0.2}


def test_a_killed_run_selects_the_weights_of_one_that_ran_through(tmp_path: Path) -> None:
    choose = ChooseConfig(by="dice", every=1, patience=3)
    values = [0.3, 0.6, 0.5, 0.4, 0.2, 9.0]
    _run(_Slope(values), choose, tmp_path / "whole", 50, every=2)
    with killed_at_its_first_checkpoint():
        _run(_Slope(values), choose, tmp_path / "killed", 50, every=2)
    _run(_Slope(values[2:]), choose, tmp_path / "killed", 50, every=2)
    assert _best(tmp_path / "killed") == _best(tmp_path / "whole") == {"step": 2, "valid": 0.6}
    assert _weight(tmp_path / "killed" / CHECKPOINT) == _weight(tmp_path / "whole" / CHECKPOINT)


def test_validations_are_written_to_the_history(tmp_path: Path) -> None:
    _run(_Slope([0.25]), ChooseConfig(by="dice", every=1), tmp_path, 1)
    assert '"valid_dice": 0.25' in (tmp_path / "history.jsonl").read_text()


def test_the_state_survives_a_checkpoint() -> None:
    one = ModelSelector(ChooseConfig(by="loss", every=1), lambda: {"loss": 0.0}, 1)
    one.best = BestValidation(0.25, 7, 2)
    other = ModelSelector(ChooseConfig(by="loss", every=1), lambda: {"loss": 0.0}, 1)
    other.restore(one.state())
    assert other.best == one.best


def test_a_value_that_is_not_finite_is_never_the_best(tmp_path: Path) -> None:
    nan = float("nan")
    _run(_Slope([nan, 0.9, nan, 0.5]), ChooseConfig(by="loss", every=1), tmp_path, 4)
    assert _best(tmp_path) == {"step": 4, "valid": 0.5}


def test_a_line_of_the_history_is_written_at_each_validation(tmp_path: Path) -> None:
    _run(_Slope([0.25, 0.5]), ChooseConfig(by="dice", every=1), tmp_path, 2, every=2)
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["valid_dice"] for line in lines] == [0.25, 0.5]
