"""The training loop: steps, schedule, checkpoints that resume where they stopped.

A checkpoint holds model, optimiser, step, configuration and history. What a step sees
depends on the seed and its number alone (order of the rows, augmentation, dropout), so a
run that was killed goes on as if nothing had happened.
"""

import json
import math
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

from training.config import OptimiserConfig
from training.progress import track

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


def rate(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up, then cosine to zero; a factor on the learning rate."""
    start = max(1, round(steps * warmup))
    if step < start:
        return (step + 1) / start
    return 0.5 * (1 + math.cos(math.pi * (step - start) / max(1, steps - start)))


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
    start = _resume(fabric, model, optimiser, plan)
    seen: dict[str, float] = defaultdict(float)
    began = time.monotonic()
    for step in track(range(start, plan.steps), plan.folder.name, start=start):
        seed_everything(plan.seed + step)
        for group in optimiser.param_groups:
            group["lr"] = group["base_lr"] * rate(step, plan.steps, schedule.warmup)
        values = losses(step)
        if not torch.isfinite(values["total"]):
            raise FloatingPointError(f"step {step}: the loss is {values['total'].item()}")
        fabric.backward(values["total"])
        fabric.clip_gradients(model, optimiser, max_norm=schedule.clip_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        for name, value in values.items():
            seen[name] += float(value.detach())
        if (step + 1) % plan.checkpoint_every == 0 or step + 1 == plan.steps:
            since = (step % plan.checkpoint_every) + 1
            _note(plan.folder, step + 1, {k: v / since for k, v in seen.items()}, began)
            seen.clear()
            save(fabric, plan, model, optimiser, step + 1)


def seed_everything(seed: int) -> None:
    """Seed Python and PyTorch; numpy's global generator is not used."""
    random.seed(seed)
    torch.manual_seed(seed)


def save(fabric: Fabric, plan: Plan, model: nn.Module, optimiser: Optimizer, step: int) -> None:
    """Write the checkpoint beside the old one, then put it in its place."""
    state = {"model": model, "optimiser": optimiser, "step": step, "config": plan.config}
    partial = plan.folder / f"{CHECKPOINT}.partial"
    fabric.save(partial, state)
    if fabric.is_global_zero:
        partial.replace(plan.folder / CHECKPOINT)


def _resume(fabric: Fabric, model: nn.Module, optimiser: Optimizer, plan: Plan) -> int:
    path = plan.folder / CHECKPOINT
    if not path.is_file():
        return 0
    state: dict[str, Any] = {"model": model, "optimiser": optimiser, "step": 0, "config": ""}
    fabric.load(path, state, weights_only=True)
    if state["config"] != plan.config:
        raise ValueError(f"{plan.folder} holds a run of another configuration; choose a new --out")
    return int(state["step"])


def _note(folder: Path, step: int, values: dict[str, float], began: float) -> None:
    line = {"step": step, "minutes": round((time.monotonic() - began) / 60, 2)}
    line |= {name: round(value, 5) for name, value in values.items()}
    with (folder / "history.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


def load_weights(path: Path) -> tuple[dict[str, Tensor], str]:
    """Model weights and configuration (JSON) of a checkpoint; nothing in it is executed."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    return state["model"], state["config"]
