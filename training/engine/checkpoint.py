"""Checkpoints: the complete state of a run, so that it can resume as if it had never stopped.

    last.ckpt = model, average of its weights, optimiser, scaler, random generators, position,
                choice, configuration, commit
    best.ckpt = model, configuration, commit; only of runs that select by validation

Learning rate, order of the rows, augmentation and dropout are functions of the seed and the
position. The states of the random generators are saved for numbers that a task draws outside of
its steps.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from lightning.fabric import Fabric
from pydantic import ValidationError
from torch import Tensor, nn
from torch.optim import Optimizer

from training.config.files import Config
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.engine.model_selection import BEST, ModelSelector
from training.engine.optimisation.weight_average import WeightAverage
from training.engine.run_folder import RUN, check_same_run, check_writable, write_whole
from training.git_commit import current_commit
from training.model.tensor_files import read_tensors
from training.refusal import RunRefused, WeightsRefused

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
        weights: state dict of the module that was trained; the average over the steps, if the run
            keeps one.
        config: configuration of the run as JSON.
        commit: commit that the run was started from, or `unknown`.
        before: configuration as JSON and commit of each run before it, of an imported version
            alone; None if the configuration names the checkpoints that it started from.
        data: data sets that an imported version was trained on, as JSON.
    """

    weights: dict[str, Tensor]
    config: str
    commit: str
    before: tuple[tuple[str, str], ...] | None = None
    data: tuple[str, ...] = ()


def preferred_checkpoint(folder: Path) -> Path:
    """Return the checkpoint that represents a run: the best if it selects one, else the last."""
    best = folder / BEST
    return best if best.is_file() else folder / CHECKPOINT


def read_checkpoint(path: Path, key: str = "checkpoint") -> Checkpoint:
    """Read a checkpoint; no code in it is executed.

    Args:
        path: file of a run.
        key: key of the configuration that names the file, for the error.

    Raises:
        RunRefused: there is no such file, or it is not a complete checkpoint of ours.
    """
    state = _read_state(path, key)
    before = state.get("before")
    return Checkpoint(
        state.get("average", state["model"]),
        state["config"],
        state.get("commit", "unknown"),
        None if before is None else tuple((config, commit) for config, commit in before),
        tuple(state.get("data", ())),
    )


def read_run(path: Path, kind: type[Config], key: str) -> tuple[Checkpoint, Config]:
    """Read a checkpoint of one kind of run, and its configuration.

    Args:
        path: file of a run.
        kind: class of the configuration.
        key: key of the configuration that names the file, for the error.

    Raises:
        RunRefused: as `read_checkpoint`, or the checkpoint is that of another kind of run.
    """
    checkpoint, config = read_any_run(path, key)
    if not isinstance(config, kind):
        wanted = get_args(kind.model_fields["kind"].annotation)[0]
        raise WeightsRefused(
            f"{key}: {path} is the checkpoint of a {config.kind} run, where that of a {wanted} run"
            " belongs"
        )
    return checkpoint, config


def read_any_run(path: Path, key: str) -> tuple[Checkpoint, PretrainConfig | FinetuneConfig]:
    """Read a checkpoint of either kind of run, and its configuration.

    Raises:
        RunRefused: as `read_checkpoint`, or the configuration is not valid.
    """
    checkpoint = read_checkpoint(path, key)
    try:
        return checkpoint, RUN.validate_json(checkpoint.config)
    except ValidationError as error:
        raise WeightsRefused(
            f"{key}: {path} is of a configuration that is not valid here"
        ) from error


def _read_state(path: Path, key: str, *, mmap: bool = False) -> dict[str, Any]:
    """Return everything in a checkpoint of ours."""
    state = read_tensors(path, key, mmap=mmap)
    if isinstance(state, dict) and isinstance(state.get("config"), str) and "model" in state:
        return state
    raise WeightsRefused(
        f"{key}: {path} is no checkpoint of a run; g2d import-checkpoint reads those of the"
        " released code"
    )


def save(
    fabric: Fabric,
    plan: Plan,
    model: nn.Module,
    optimiser: Optimizer,
    step: int,
    commit: str,
    selector: ModelSelector | None = None,
    average: WeightAverage | None = None,
) -> None:
    """Write a checkpoint, and replace the previous one once it is complete.

    Args:
        fabric, plan, model, optimiser, selector, average: parts of the run.
        step: number of steps done.
        commit: commit that the run was started from.
    """
    state: dict[str, Any] = {"model": model, "optimiser": optimiser, "step": step}
    state |= {"config": plan.config, "commit": commit, "position": _position(fabric, plan, step)}
    state |= {"scaler": fabric.strategy.precision.state_dict(), "rng": _generators()}
    state |= {"choice": selector.state()} if selector else {}
    state |= {"average": average.state()} if average else {}
    write_whole(fabric, plan.folder / CHECKPOINT, state)


def check_folder(folder: Path, config: str) -> None:
    """Check before any work that a run can be kept in a folder, or goes on in it.

    Args:
        folder: folder of the run; it need not exist.
        config: configuration of the run as JSON.

    Raises:
        RunRefused: the folder cannot be written, or holds a run of another configuration.
    """
    check_writable(folder)
    if (folder / CHECKPOINT).is_file():
        before = _read_state(folder / CHECKPOINT, "last checkpoint", mmap=True)
        check_same_run(folder, before, config)


def resume(
    fabric: Fabric,
    model: nn.Module,
    optimiser: Optimizer,
    plan: Plan,
    selector: ModelSelector | None = None,
    average: WeightAverage | None = None,
) -> tuple[int, str]:
    """Restore the state of a run from its folder.

    Returns:
        The number of steps already done, and the commit that the run was started from.

    Raises:
        RunRefused: the folder holds a run of another configuration, or one whose steps saw
            another number of rows.
    """
    path = plan.folder / CHECKPOINT
    if not path.is_file():
        return 0, current_commit()
    before = _read_state(path, "last checkpoint", mmap=True)
    check_same_run(plan.folder, before, plan.config)
    if (position := before.get("position")) is not None:
        _check_batch(fabric, plan, position)
    fabric.load(path, {"model": model, "optimiser": optimiser}, weights_only=True)
    fabric.strategy.precision.load_state_dict(before.get("scaler") or {})
    _restore_generators(before.get("rng", {}))
    if selector is not None and "choice" in before:  # not in those of before it was validated
        selector.restore(before["choice"])
    if average is not None:
        average.restore(before["average"])
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
        raise RunRefused(
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
