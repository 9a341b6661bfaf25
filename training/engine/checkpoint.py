"""Checkpoints: the complete state of a run, so that it can resume as if it had never stopped.

    last.ckpt = model, optimiser, scaler, random generators, position, choice, configuration, commit
    best.ckpt = model, configuration, commit; only of runs that select by validation

Learning rate, order of the rows, augmentation and dropout are functions of the seed and the
position. The states of the random generators are saved for numbers that a task draws outside of
its steps.
"""

import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.optim import Optimizer

from training.config.files import RunConfig
from training.engine.model_selection import BEST, ModelSelector
from training.git_commit import current_commit

CHECKPOINT = "last.ckpt"


@dataclass(frozen=True)
class Plan:
    """Length and folder of a run.

    Attributes:
        folder: folder of the run; holds `last.ckpt` and `history.jsonl`.
        steps: number of optimiser steps.
        checkpoint_every: steps between two checkpoints.
        seed: seed of everything random.
        config: configuration as JSON, which is written into each checkpoint.
        log_every: steps between two lines of the history; None is `checkpoint_every`.
        accumulate: micro-batches per step.
        rows: rows in a micro-batch of one process; 0 if rows are not counted.
    """

    folder: Path
    steps: int
    checkpoint_every: int
    seed: int
    config: str
    log_every: int | None = None
    accumulate: int = 1
    rows: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """Weights and origin of a run.

    Attributes:
        weights: state dict of the module that was trained.
        config: configuration of the run as JSON.
        commit: commit that the run was started from, or `unknown`.
    """

    weights: dict[str, Tensor]
    config: str
    commit: str


def preferred_checkpoint(folder: Path) -> Path:
    """Return the checkpoint that represents a run: the best if it selects one, else the last."""
    best = folder / BEST
    return best if best.is_file() else folder / CHECKPOINT


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; no code in it is executed."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    return Checkpoint(state["model"], state["config"], state.get("commit", "unknown"))


def save(
    fabric: Fabric,
    plan: Plan,
    model: nn.Module,
    optimiser: Optimizer,
    step: int,
    commit: str,
    selector: ModelSelector | None = None,
) -> None:
    """Write a checkpoint, and replace the previous one once it is complete.

    Args:
        fabric, plan, model, optimiser, selector: parts of the run.
        step: number of steps done.
        commit: commit that the run was started from.
    """
    state: dict[str, Any] = {"model": model, "optimiser": optimiser, "step": step}
    state |= {"config": plan.config, "commit": commit, "position": _position(fabric, plan, step)}
    state |= {"scaler": fabric.strategy.precision.state_dict(), "rng": _generators()}
    state |= {"choice": selector.state()} if selector else {}
    partial = plan.folder / f"{CHECKPOINT}.partial"
    fabric.save(partial, state)
    if fabric.is_global_zero:
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(plan.folder / CHECKPOINT)


def resume(
    fabric: Fabric,
    model: nn.Module,
    optimiser: Optimizer,
    plan: Plan,
    selector: ModelSelector | None = None,
) -> tuple[int, str]:
    """Restore the state of a run from its folder.

    Returns:
        The number of steps already done, and the commit that the run was started from.

    Raises:
        ValueError: the folder holds a run of another configuration, or one whose steps saw
            another number of rows.
    """
    path = plan.folder / CHECKPOINT
    if not path.is_file():
        return 0, current_commit()
    before = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    position = before.get("position")
    if not _same_run(before["config"], plan.config, batch_size=position is None):
        raise ValueError(f"{plan.folder} holds a run of another configuration; choose a new --out")
    if position is not None:
        _check_batch(fabric, plan, position)
    fabric.load(path, {"model": model, "optimiser": optimiser}, weights_only=True)
    fabric.strategy.precision.load_state_dict(before.get("scaler") or {})
    _restore_generators(before.get("rng", {}))
    if selector is not None:
        selector.restore(before["choice"])
    return int(before["step"]), str(before.get("commit", "unknown"))


def _position(fabric: Fabric, plan: Plan, step: int) -> dict[str, int]:
    """Return the position in the data: number of steps, and the rows of one step."""
    joined = plan.rows * fabric.world_size
    return {"step": step, "world": fabric.world_size, "joined": joined} | {
        "accumulate": plan.accumulate,
        "rows_of_step": joined * plan.accumulate,
        "rows_seen": joined * plan.accumulate * step,
    }


def _check_batch(fabric: Fabric, plan: Plan, before: dict[str, int]) -> None:
    """Raise an error unless a step sees as many rows as before; the processes may differ."""
    now = _position(fabric, plan, 0)
    if all(before[key] == now[key] for key in ("world", "joined", "accumulate")):
        return
    if before["rows_of_step"] != now["rows_of_step"]:
        raise ValueError(
            f"{plan.folder}: a step saw {before['rows_of_step']} rows ({before['world']} processes"
            f" x {before['accumulate']} micro-batches) and would now see {now['rows_of_step']}"
            f" ({now['world']} x {now['accumulate']}); choose batch_size and engine.accumulate so"
            " that processes x batch_size x accumulate stays"
        )
    if fabric.is_global_zero:
        print(
            f"{plan.folder}: {now['world']} processes in place of {before['world']}; batch norm"
            f" sees {plan.rows} rows, a report {now['joined'] - 1} negatives (before:"
            f" {before['joined'] - 1})"
        )


def _same_run(before: str, now: str, *, batch_size: bool) -> bool:
    """Return whether two configurations train the same; the engine does not count.

    Both are validated, so that keys that a newer version has added do not count either.

    Args:
        before, now: configurations as JSON.
        batch_size: False if a different batch size is allowed, because the position of the
            checkpoint tells how many rows a step saw.
    """
    if before == now:
        return True
    try:
        read = [TypeAdapter[Any](RunConfig).validate_json(text) for text in (before, now)]
    except ValidationError:
        return False
    left_out = {"engine"} if batch_size else {"engine", "batch_size"}
    kept = [config.model_dump(exclude=left_out) for config in read]
    return bool(kept[0] == kept[1])


def _generators() -> dict[str, Any]:
    """Return the states of the global generators of Python and PyTorch; numpy's is not used."""
    state: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _restore_generators(state: dict[str, Any]) -> None:
    if "torch" in state:
        random.setstate(state["python"])
        torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())
