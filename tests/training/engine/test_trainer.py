"""The loop: schedule, checkpoints, and a run that was killed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision
from torch import Tensor, nn

from training.config.engine import EngineConfig, OptimiserConfig
from training.data.batches.sampler import MicroBatchIndex
from training.engine import seeding, trainer
from training.engine.checkpoint import CHECKPOINT, Plan, read_checkpoint
from training.engine.history import HISTORY
from training.engine.optimiser import build_optimiser, set_up

SCHEDULE = OptimiserConfig(lr=0.05)
ENGINE = EngineConfig(loggers=())
STEPS = 8


class _Killed(Exception):
    """Stands for the signal."""


def _plan(folder: Path, config: str = "{}") -> Plan:
    return Plan(folder, STEPS, checkpoint_every=2, seed=3, config=config)


class _Task:
    """A model with dropout on random numbers; `spoil` sees step and loss."""

    rows = 5

    def __init__(self, spoil: Callable[[int, Tensor], Tensor]) -> None:
        self.module = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 1))
        self._spoil = spoil

    def loader(self, world: int) -> Callable[[MicroBatchIndex], Tensor]:
        return lambda turn: torch.randn(5, 4, generator=torch.Generator().manual_seed(turn.number))

    def losses(
        self, model: Callable[..., Any], batch: Tensor, turn: MicroBatchIndex
    ) -> dict[str, Tensor]:
        return {"total": self._spoil(turn.step, model(batch).square().mean())}

    def picture(self, batch: Tensor) -> Tensor | None:
        return None


def _run(
    plan: Plan,
    spoil: Callable[[int, Tensor], Tensor] = lambda _, total: total,
    plugin: MixedPrecision | None = None,
) -> dict[str, Tensor]:
    seeding.seed_everything(0)
    fabric = Fabric(accelerator="cpu", devices=1, plugins=plugin)
    task = _Task(spoil)
    model, optimiser = set_up(fabric, task.module, SCHEDULE, ENGINE)
    trainer.run(fabric, model, optimiser, task, plan, SCHEDULE, ENGINE)
    return read_checkpoint(plan.folder / CHECKPOINT).weights


def _history(folder: Path) -> list[tuple[int, float]]:
    lines = (folder / "history.jsonl").read_text().splitlines()
    return [(line["step"], line["total"]) for line in map(json.loads, lines)]


def _kill_at(killed_at: int) -> Callable[[int, Tensor], Tensor]:
    def spoil(step: int, total: Tensor) -> Tensor:
        if step == killed_at:
            raise _Killed
        return total

    return spoil


@pytest.mark.parametrize("killed_at", [0, 3, 4, 7])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path, killed_at: int) -> None:
    whole = _run(_plan(tmp_path / "whole"))
    with pytest.raises(_Killed):
        _run(_plan(tmp_path / "killed"), _kill_at(killed_at))
    resumed = _run(_plan(tmp_path / "killed"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert _history(tmp_path / "whole") == _history(tmp_path / "killed")


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    first = _run(_plan(tmp_path))
    second = _run(_plan(tmp_path), _kill_at(0))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_of_another_configuration_is_not_continued(tmp_path: Path) -> None:
    _run(_plan(tmp_path))
    with pytest.raises(ValueError, match="another configuration"):
        _run(_plan(tmp_path, config='{"seed": 1}'))


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="step 5"):
        _run(_plan(tmp_path), lambda step, total: total * (float("nan") if step == 5 else 1))
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert state["step"] == 4


def test_a_run_goes_on_where_a_step_sees_as_many_rows(tmp_path: Path) -> None:
    before = replace(_plan(tmp_path), rows=6, accumulate=1)
    with pytest.raises(_Killed):
        _run(before, _kill_at(5))
    with pytest.raises(ValueError, match=r"saw 6 rows .* would now see 4 \(1 x 2\)"):
        _run(replace(before, rows=2, accumulate=2))
    _run(replace(before, rows=3, accumulate=2))
    assert [step for step, _ in _history(tmp_path)] == [2, 4, 6, 8]


def test_micro_batches_add_up_to_the_mean_of_their_gradients(tmp_path: Path) -> None:
    """With one weight w, loss (w x)^2 and x = 1, 3: the mean gradient at w = 1 is 10."""

    class Square(_Task):
        def __init__(self) -> None:
            super().__init__(lambda _, total: total)
            linear = nn.Linear(1, 1, bias=False)
            nn.init.ones_(linear.weight)
            self.module = nn.Sequential(linear)

        def loader(self, world: int) -> Callable[[MicroBatchIndex], Tensor]:
            return lambda turn: torch.tensor([[1.0 + 2.0 * turn.micro]])

    task, fabric = Square(), Fabric(accelerator="cpu", devices=1)
    plan = replace(_plan(tmp_path), steps=1, accumulate=2)
    model, optimiser = set_up(fabric, task.module, SCHEDULE, ENGINE)
    trainer.run(fabric, model, optimiser, task, plan, SCHEDULE, ENGINE)
    line = json.loads((tmp_path / HISTORY).read_text())
    assert (line["total"], line["gradient_norm"]) == (5.0, 10.0)


def test_lines_of_steps_beyond_the_last_checkpoint_are_written_anew(tmp_path: Path) -> None:
    whole, killed = (replace(_plan(tmp_path / x), log_every=1) for x in ("whole", "killed"))
    _run(whole)
    with pytest.raises(_Killed):
        _run(killed, _kill_at(5))
    with (killed.folder / HISTORY).open("a") as file:
        file.write('{"step": 6, "tot')  # cut off by the kill
    _run(killed)
    assert _history(killed.folder) == _history(whole.folder)


def _half_precision() -> MixedPrecision:
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=2.0**40))


def test_a_scaler_skips_steps_and_goes_on_where_it_was(tmp_path: Path) -> None:
    """Gradients times 2^40 overflow half precision, until the scale was halved often enough."""
    whole, killed = _plan(tmp_path / "whole"), _plan(tmp_path / "killed")
    weights = _run(whole, plugin=_half_precision())
    with pytest.raises(_Killed):
        _run(killed, _kill_at(5), plugin=_half_precision())
    again = _run(killed, plugin=_half_precision())
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    lines = (killed.folder / HISTORY).read_text().splitlines()
    assert json.loads(lines[0])["skipped_steps"] == 2
    scaler = torch.load(killed.folder / CHECKPOINT, weights_only=True)["scaler"]
    assert scaler["scale"] < 2.0**40


def test_the_host_reads_losses_only_when_a_line_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    for name in ("item", "tolist", "__bool__", "__float__", "cpu", "numpy"):
        before = getattr(Tensor, name)

        def note(self: Tensor, *args: Any, name: str = name, before: Any = before) -> Any:
            read.append(name)
            return before(self, *args)

        monkeypatch.setattr(Tensor, name, note)
    _run(replace(_plan(tmp_path), checkpoint_every=STEPS))
    assert read.count("tolist") == 1
    assert not {"item", "__bool__", "__float__", "numpy"} & set(read)


def test_the_text_encoder_may_have_its_own_rate() -> None:
    parameters = {"text.a": nn.Parameter(torch.ones(1)), "b": nn.Parameter(torch.ones(1))}
    frozen = {"c": nn.Parameter(torch.ones(1), requires_grad=False)}
    config = OptimiserConfig(lr=0.1, text_lr=0.01)
    groups = build_optimiser(parameters | frozen, config, "text").param_groups
    assert [(g["base_lr"], len(g["params"])) for g in groups] == [(0.1, 1), (0.01, 1)]
