"""A small task for the training engine: a model with dropout, trained on random numbers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision
from torch import Tensor, nn

from training.config.engine import EngineConfig, OptimiserConfig
from training.data.sampling.sampler import MicroBatchIndex
from training.engine.checkpoint import CHECKPOINT, Plan, read_checkpoint
from training.engine.history import HISTORY
from training.engine.optimisation.optimiser import set_up
from training.engine.seeding import seed_everything
from training.engine.trainer import Task, Trainer

SCHEDULE = OptimiserConfig(lr=0.05)
ENGINE = EngineConfig(loggers=())
STEPS = 8
Spoil = Callable[[int, Tensor], Tensor]
"""Step and loss -> loss; may raise an error in place of a signal."""


class Killed(Exception):
    """Stands for the signal that kills a run."""


def plan_of(folder: Path, config: str = "{}") -> Plan:
    """Return the plan of a run of eight steps with a checkpoint every second step."""
    return Plan(folder, STEPS, checkpoint_every=2, seed=3, config=config)


class RandomNumbers:
    """A task whose batches are random numbers that depend on their index alone."""

    rows = 5

    def __init__(self, spoil: Spoil = lambda _, total: total) -> None:
        self.module = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 1))
        self._spoil = spoil

    def loader(self, world: int) -> Callable[[MicroBatchIndex], Tensor]:
        """Return five rows of four numbers for each index."""
        return lambda index: torch.randn(
            5, 4, generator=torch.Generator().manual_seed(index.number)
        )

    def losses(
        self, model: Callable[..., Any], batch: Tensor, index: MicroBatchIndex
    ) -> dict[str, Tensor]:
        """Return the mean square of the outputs, spoiled."""
        return {"total": self._spoil(index.step, model(batch).square().mean())}

    def panel(self, batch: Tensor) -> Tensor | None:
        """Return None."""
        return None


def train_task(plan: Plan, task: Task, plugin: MixedPrecision | None = None) -> None:
    """Run or resume a task on the CPU."""
    fabric = Fabric(accelerator="cpu", devices=1, plugins=plugin)
    model, optimiser = set_up(fabric, task.module, SCHEDULE, ENGINE)
    Trainer(fabric, model, optimiser, task, plan, SCHEDULE, ENGINE).run()


def train(
    plan: Plan,
    spoil: Spoil = lambda _, total: total,
    plugin: MixedPrecision | None = None,
) -> dict[str, Tensor]:
    """Run or resume a run of random numbers, and return the weights of its last checkpoint."""
    seed_everything(0)
    train_task(plan, RandomNumbers(spoil), plugin)
    return read_checkpoint(plan.folder / CHECKPOINT).weights


def kill_at(killed_at: int) -> Spoil:
    """Return what kills a run at a step."""

    def spoil(step: int, total: Tensor) -> Tensor:
        if step == killed_at:
            raise Killed
        return total

    return spoil


def read_history(folder: Path) -> list[tuple[int, float]]:
    """Return step and loss of every line of the history."""
    lines = (folder / HISTORY).read_text().splitlines()
    return [(line["step"], line["total"]) for line in map(json.loads, lines)]
