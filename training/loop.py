"""The training loop: steps, schedule, checkpoints that resume where they stopped.

A checkpoint holds model, optimiser, step, configuration and commit. What a step sees
depends on the seed and its number alone (order of the rows, augmentation, dropout), so a
run that was killed goes on as if nothing had happened.
"""

import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from training.commit import current_commit
from training.config import FinetuneConfig, OptimiserConfig, PretrainConfig
from training.data.sampler import steps_per_epoch
from training.progress import track
from training.schedule import rate

CHECKPOINT = "last.ckpt"
Losses = Mapping[str, Tensor]


@dataclass(frozen=True)
class Plan:
    """How long a run is and where it writes.

    Attributes:
        folder: of the run; holds `last.ckpt` and `history.jsonl`.
        steps: in all.
        checkpoint_every: steps between two checkpoints.
        seed: of everything random.
        config: written into each checkpoint, as JSON.
    """

    folder: Path
    steps: int
    checkpoint_every: int
    seed: int
    config: str


def train(
    config: PretrainConfig | FinetuneConfig,
    module: nn.Module,
    rows: int,
    out: Path,
    losses_of: Callable[[Fabric, nn.Module], Callable[[int], Losses]],
) -> Path:
    """Run or resume the run of a configuration; gives the path of its last checkpoint.

    Args:
        config: of the run.
        module: whose parameters are trained; those of `g2d.lm_model` at the text rate.
        rows: radiographs in one epoch.
        out: folder of the run.
        losses_of: fabric and wrapped module -> step number -> named losses.
    """
    fabric = Fabric(precision=config.precision)
    fabric.launch()
    module.to(memory_format=torch.channels_last)
    parameters = dict(module.named_parameters())
    optimiser = build_optimiser(parameters, config.optimiser, "g2d.lm_model")
    model, wrapped = fabric.setup(module, optimiser)
    model.train()
    plan = Plan(
        folder=out,
        steps=config.epochs * steps_per_epoch(rows, config.batch_size),
        checkpoint_every=config.checkpoint_every,
        seed=config.seed,
        config=config.model_dump_json(),
    )
    run(fabric, model, wrapped, losses_of(fabric, model), plan, config.optimiser)
    return out / CHECKPOINT


def build_optimiser(
    parameters: Mapping[str, nn.Parameter], config: OptimiserConfig, text_prefix: str
) -> AdamW:
    """AdamW; the text encoder, by the prefix of its names, may have its own rate."""
    trained = {name: p for name, p in parameters.items() if p.requires_grad}
    text = [p for name, p in trained.items() if name.startswith(text_prefix)]
    other = [p for name, p in trained.items() if not name.startswith(text_prefix)]
    rates = [(other, config.lr), (text, config.text_lr or config.lr)]
    groups = [{"params": p, "lr": lr, "base_lr": lr} for p, lr in rates if p]
    return AdamW(groups, weight_decay=config.weight_decay)


def run(
    fabric: Fabric,
    model: nn.Module,
    optimiser: Optimizer,
    losses: Callable[[int], Losses],
    plan: Plan,
    schedule: OptimiserConfig,
) -> None:
    """Train from the last checkpoint of the run, or from the start, to the last step.

    Args:
        fabric: device and precision.
        model, optimiser: as `fabric.setup` gave them.
        losses: step number -> named losses; `total` is minimised.
        plan: length and folder.
        schedule: warm-up and gradient clipping.

    Raises:
        FloatingPointError: the loss is not finite; the last checkpoint is kept.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    start, commit = _resume(fabric, model, optimiser, plan)
    seen: dict[str, float] = defaultdict(float)
    began = time.monotonic()
    for step in track(range(start, plan.steps), plan.folder.name, start=start):
        seed_everything(plan.seed + step)
        for group in optimiser.param_groups:
            group["lr"] = group["base_lr"] * rate(step, plan.steps, schedule)
        values = losses(step)
        if not torch.isfinite(values["total"]):
            raise FloatingPointError(f"step {step}: the loss is {values['total'].item()}")
        fabric.backward(values["total"])
        if schedule.clip_norm is not None:
            fabric.clip_gradients(model, optimiser, max_norm=schedule.clip_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        for name, value in values.items():
            seen[name] += float(value.detach())
        if (step + 1) % plan.checkpoint_every == 0 or step + 1 == plan.steps:
            since = (step % plan.checkpoint_every) + 1
            _note(plan.folder, step + 1, {k: v / since for k, v in seen.items()}, began)
            seen.clear()
            save(fabric, plan, model, optimiser, step + 1, commit)


def seed_everything(seed: int) -> None:
    """Seed Python and PyTorch; numpy's global generator is not used."""
    random.seed(seed)
    torch.manual_seed(seed)


def save(
    fabric: Fabric, plan: Plan, model: nn.Module, optimiser: Optimizer, step: int, commit: str
) -> None:
    """Write the checkpoint beside the old one, then put it in its place.

    Args:
        fabric, plan, model, optimiser: of the run.
        step: steps done.
        commit: that the run was started from.
    """
    state = {"model": model, "optimiser": optimiser, "step": step, "config": plan.config}
    state["commit"] = commit
    partial = plan.folder / f"{CHECKPOINT}.partial"
    fabric.save(partial, state)
    if fabric.is_global_zero:
        partial.replace(plan.folder / CHECKPOINT)


def _resume(fabric: Fabric, model: nn.Module, optimiser: Optimizer, plan: Plan) -> tuple[int, str]:
    """Steps already done, and the commit that the run was started from."""
    path = plan.folder / CHECKPOINT
    if not path.is_file():
        return 0, current_commit()
    state: dict[str, Any] = {"model": model, "optimiser": optimiser, "step": 0, "config": ""}
    rest = fabric.load(path, state, weights_only=True)
    if state["config"] != plan.config:
        raise ValueError(f"{plan.folder} holds a run of another configuration; choose a new --out")
    return int(state["step"]), str(rest.get("commit", "unknown"))


def _note(folder: Path, step: int, values: dict[str, float], began: float) -> None:
    line = {"step": step, "minutes": round((time.monotonic() - began) / 60, 2)}
    line |= {name: round(value, 5) for name, value in values.items()}
    with (folder / "history.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says of its run.

    Attributes:
        weights: of the module that was trained.
        config: of the run, JSON.
        commit: that the run was started from, or `unknown`.
    """

    weights: dict[str, Tensor]
    config: str
    commit: str


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; nothing in it is executed."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    return Checkpoint(state["model"], state["config"], state.get("commit", "unknown"))
