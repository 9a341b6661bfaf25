"""The training loop: steps, schedule, checkpoints that resume where they stopped.

    turn -> task.load (worker) -> device -> task.losses -> backward -> clip -> step -> journal

What a step sees depends on the seed and its number alone (order of the rows, augmentation,
dropout), so a run that was killed goes on as if nothing had happened. The host reads nothing
from the device in a step; losses are read, and checked, when a line of the log is due and
before every checkpoint, so that a state that is not finite is never written.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from training.config.engine import EngineConfig, OptimiserConfig
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.data.batches.prefetch import each_tensor, read_ahead
from training.data.batches.sampler import MicroBatchIndex, steps_per_epoch
from training.engine.checkpoint import Plan, chosen, resume, save
from training.engine.history import Journal, forget_after
from training.engine.loggers import open_log
from training.engine.lr_schedule import rate
from training.engine.model_selection import ModelSelector
from training.engine.optimiser import _scaler, clip, set_up
from training.engine.seeding import _RANKS_APART, seed_everything
from training.progress import track

Losses = Mapping[str, Tensor]


class Task(Protocol):
    """What a run learns: its data and its losses."""

    @property
    def module(self) -> nn.Module:
        """Trained; the parameters of `g2d.lm_model` at the text rate."""

    @property
    def rows(self) -> int:
        """In one epoch."""

    def loader(self, world: int) -> Callable[[MicroBatchIndex], Any]:
        """For so many processes: a turn -> its batch on the host, a function of the turn alone.

        Worker threads call it; it must not touch the global random generators.
        """

    def losses(self, model: Callable[..., Any], batch: Any, turn: MicroBatchIndex) -> Losses:
        """A batch on the device -> named losses; `total` is minimised."""

    def picture(self, batch: Any) -> Tensor | None:
        """A panel, H x W x 3 uint8 on the host, of what the module makes of a batch."""


def train(
    config: PretrainConfig | FinetuneConfig,
    fabric: Fabric,
    task: Task,
    out: Path,
    choosing: ModelSelector | None = None,
) -> Path:
    """Run or resume the run of a configuration; gives the path of the checkpoint to go on with.

    Args:
        config: of the run.
        fabric: launched.
        task: what is learned.
        out: folder of the run.
        choosing: of the best weights; None keeps the last.
    """
    engine = config.engine
    step_rows = config.batch_size * fabric.world_size * engine.accumulate
    steps = config.epochs * steps_per_epoch(task.rows, step_rows)
    if isinstance(config, FinetuneConfig) and config.max_steps is not None:
        steps = min(steps, config.max_steps)
    plan = Plan(
        folder=out,
        steps=steps,
        checkpoint_every=config.checkpoint_every,
        seed=config.seed,
        config=config.model_dump_json(),
        log_every=engine.log_every,
        accumulate=engine.accumulate,
        rows=config.batch_size,
    )
    model, optimiser = set_up(fabric, task.module, config.optimiser, engine)
    run(fabric, model, optimiser, task, plan, config.optimiser, engine, choosing)
    return chosen(out)


def run(
    fabric: Fabric,
    model: nn.Module,
    optimiser: Optimizer,
    task: Task,
    plan: Plan,
    schedule: OptimiserConfig,
    engine: EngineConfig,
    choosing: ModelSelector | None = None,
) -> None:
    """Train from the last checkpoint of the run, or from the start, to the last step.

    Args:
        fabric: devices and precision.
        model, optimiser: as `set_up` gave them.
        task: data and losses.
        plan: length and folder.
        schedule: warm-up and gradient clipping.
        engine: workers and loggers.
        choosing: of the best weights, and of an early end.

    Raises:
        FloatingPointError: the loss is not finite; the last checkpoint is kept.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    start, commit = resume(fabric, model, optimiser, plan, choosing)
    if start >= plan.steps or (choosing and choosing.ended):
        return
    logs = []
    if fabric.is_global_zero:
        forget_after(plan.folder, start)
        settings = {"run": plan.config, "commit": commit, "world": fabric.world_size}
        logs = [open_log(name, plan.folder, start, settings) for name in engine.loggers]
    rows = plan.rows * fabric.world_size * plan.accumulate
    journal = Journal(fabric, plan.folder, logs, rows, scaled=_scaler(fabric) is not None)
    stepping = Trainer(fabric, model, optimiser, task, plan, schedule)
    with closing(batches_from(fabric, task, plan, engine, start)) as batches:
        for step in _steps(fabric, plan, start):
            stepping.step(step, batches, journal)
            if engine.picture_every and (step + 1) % engine.picture_every == 0:
                _show(fabric, task, stepping.batch, journal, step + 1)
            if choosing and choosing.due(step + 1, plan.steps):
                about = {"config": plan.config, "commit": commit}
                journal.saw(choosing.look(fabric, plan.folder, model, step + 1, about))
            ended = step + 1 == plan.steps or (choosing is not None and choosing.ended)
            last = ended or (step + 1) % plan.checkpoint_every == 0
            if last or (step + 1) % (plan.log_every or plan.checkpoint_every) == 0:
                journal.note(step + 1, optimiser.param_groups[0]["lr"])
            if last:
                save(fabric, plan, model, optimiser, step + 1, commit, choosing)
            if ended:
                break
    for log in logs:
        log.close()


class Trainer:
    """Takes optimiser steps."""

    def __init__(
        self,
        fabric: Fabric,
        model: nn.Module,
        optimiser: Optimizer,
        task: Task,
        plan: Plan,
        schedule: OptimiserConfig,
    ) -> None:
        """Args: as of `run`."""
        self._fabric, self._model, self._optimiser = fabric, model, optimiser
        self._task, self._plan, self._schedule = task, plan, schedule
        self.batch: Any = None
        """The last micro-batch, on the device."""

    def step(
        self, step: int, batches: Iterator[tuple[MicroBatchIndex, Any]], journal: Journal
    ) -> None:
        """One step: gradients of all its micro-batches, then clipping and the optimiser."""
        plan, optimiser = self._plan, self._optimiser
        for group in optimiser.param_groups:
            group["lr"] = group["base_lr"] * rate(step, plan.steps, self._schedule)
        values: dict[str, Tensor] = {}
        for micro in range(plan.accumulate):
            with journal.waiting():
                turn, batch = next(batches)
            losses = self._backward(turn, batch, last=micro + 1 == plan.accumulate)
            for name, value in losses.items():
                part = value.detach() / plan.accumulate
                values[name] = values[name] + part if name in values else part
        norm = clip(self._fabric, self._model, optimiser, self._schedule.clip_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        journal.add(values | {"gradient_norm": norm})

    def _backward(self, turn: MicroBatchIndex, batch: Any, *, last: bool) -> Losses:
        """Add the gradients of one micro-batch; processes exchange them after the last."""
        fabric = self._fabric
        self.batch = each_tensor(batch, fabric.to_device)
        seed_everything(self._plan.seed + turn.number + _RANKS_APART * turn.rank)
        several = fabric.world_size > 1
        with fabric.no_backward_sync(self._model, enabled=several and not last):  # type: ignore[arg-type]
            losses = self._task.losses(self._model, self.batch, turn)
            fabric.backward(losses["total"] / self._plan.accumulate)
        return losses


def _steps(fabric: Fabric, plan: Plan, start: int) -> Iterator[int]:
    steps = range(start, plan.steps)
    return track(steps, plan.folder.name, start=start) if fabric.is_global_zero else iter(steps)


def batches_from(
    fabric: Fabric, task: Task, plan: Plan, engine: EngineConfig, start: int
) -> Generator[tuple[MicroBatchIndex, Any], None, None]:
    """Turns and their batches on the host, from a step on, to the end."""
    load = task.loader(fabric.world_size)
    pinned = fabric.device.type == "cuda"

    def loaded(turn: MicroBatchIndex) -> tuple[MicroBatchIndex, Any]:
        batch = load(turn)
        return turn, each_tensor(batch, Tensor.pin_memory) if pinned else batch

    turns = (
        MicroBatchIndex(step, micro, plan.accumulate, fabric.global_rank, fabric.world_size)
        for step in range(start, plan.steps)
        for micro in range(plan.accumulate)
    )
    return read_ahead(loaded, turns, engine.workers, engine.prefetch)


def _show(fabric: Fabric, task: Task, batch: Any, journal: Journal, step: int) -> None:
    """Log a panel of the first process's last batch."""
    if fabric.is_global_zero and (panel := task.picture(batch)) is not None:
        journal.picture(step, panel)
