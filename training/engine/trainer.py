"""The training loop: steps, schedule, validation, and checkpoints from which a run resumes.

    index -> load (worker thread) -> device -> task.losses -> backward -> clip -> step -> history

The data and the randomness of a step (order of the rows, augmentation, dropout) depend on the
seed and the number of the step alone, so a run that was killed continues as if nothing had
happened. The host reads nothing from the device during a step. Losses are read, and checked, when
a line of the history is due and before every checkpoint, so that a state that is not finite is
never saved.
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
from training.data.sampling.sampler import MicroBatchIndex, steps_per_epoch
from training.engine.checkpoint import Plan, preferred_checkpoint, resume, save
from training.engine.history import History, drop_lines_after
from training.engine.loggers import ExperimentLogger, open_logger
from training.engine.model_selection import ModelSelector
from training.engine.optimisation.lr_schedule import lr_factor
from training.engine.optimisation.optimiser import clip, gradient_scaler, set_up
from training.engine.optimisation.weight_average import WeightAverage
from training.engine.seeding import rank_seed, seed_everything
from training.progress import track

Losses = Mapping[str, Tensor]
Batches = Iterator[tuple[MicroBatchIndex, Any]]


class Task(Protocol):
    """A learning task: its module, its data and its losses."""

    @property
    def module(self) -> nn.Module:
        """Module to train; the parameters under `g2d.lm_model` have the text learning rate."""

    @property
    def rows(self) -> int:
        """Number of rows in one epoch."""

    def loader(self, world: int) -> Callable[[MicroBatchIndex], Any]:
        """Return the function that loads a micro-batch on the host, from its index alone.

        Several worker threads call it; it must not touch the global random generators.

        Args:
            world: number of processes.
        """

    def losses(self, model: Callable[..., Any], batch: Any, index: MicroBatchIndex) -> Losses:
        """Return the losses of a batch on the device by name; the run minimises `total`."""

    def panel(self, batch: Any) -> Tensor | None:
        """Return an image of the module's predictions, H x W x 3 uint8 on the host, if any."""


def train(
    config: PretrainConfig | FinetuneConfig,
    fabric: Fabric,
    task: Task,
    out: Path,
    selector: ModelSelector | None = None,
) -> Path:
    """Run or resume a run.

    Args:
        config: configuration of the run.
        fabric: launched processes.
        task: learning task.
        out: folder of the run.
        selector: selection of the best weights; None keeps the last.

    Returns:
        The path of the checkpoint that represents the run.
    """
    plan = _plan(config, fabric.world_size, task.rows, out)
    model, optimiser = set_up(fabric, task.module, config.optimiser, config.engine)
    decay = config.weight_average if isinstance(config, FinetuneConfig) else None
    average = WeightAverage(task.module, decay) if decay is not None else None
    parts = (fabric, model, optimiser, task, plan, config.optimiser, config.engine)
    Trainer(*parts, selector, average).run()
    return preferred_checkpoint(out)


def _plan(config: PretrainConfig | FinetuneConfig, world: int, rows: int, folder: Path) -> Plan:
    """Return the length of a run.

    Args:
        config: configuration of the run.
        world: number of processes.
        rows: rows of one epoch.
        folder: folder of the run.
    """
    engine = config.engine
    steps = config.epochs * steps_per_epoch(rows, config.batch_size * world * engine.accumulate)
    if isinstance(config, FinetuneConfig) and config.max_steps is not None:
        steps = min(steps, config.max_steps)
    return Plan(
        folder=folder,
        steps=steps,
        checkpoint_every=config.checkpoint_every,
        seed=config.seed,
        config=config.model_dump_json(),
        log_every=engine.log_every,
        accumulate=engine.accumulate,
        rows=config.batch_size,
    )


class Trainer:
    """Trains a task from the last checkpoint of its run, or from the start, to the last step."""

    def __init__(
        self,
        fabric: Fabric,
        model: nn.Module,
        optimiser: Optimizer,
        task: Task,
        plan: Plan,
        schedule: OptimiserConfig,
        engine: EngineConfig,
        selector: ModelSelector | None = None,
        average: WeightAverage | None = None,
    ) -> None:
        """Take the parts of a run.

        Args:
            fabric: launched processes, device and precision.
            model, optimiser: wrapped module and optimiser from `set_up`.
            task: data and losses.
            plan: length and folder of the run.
            schedule: learning-rate schedule and gradient clipping.
            engine: workers, loggers and panels.
            selector: selection of the best weights, and early stopping.
            average: average of the weights over the steps; None keeps those of the last step.
        """
        self._fabric, self._model, self._optimiser = fabric, model, optimiser
        self._task, self._plan, self._schedule, self._engine = task, plan, schedule, engine
        self._selector, self._average = selector, average
        self._batch: Any = None  # the last micro-batch, on the device
        self._commit = "unknown"

    def run(self) -> None:
        """Train until the last step, or until the selection runs out of patience.

        Raises:
            NotFinite: a loss is not finite; the last checkpoint is kept.
            RunRefused: the folder holds another run, or cannot be written.
        """
        plan = self._plan
        plan.folder.mkdir(parents=True, exist_ok=True)
        start, self._commit = resume(
            self._fabric, self._model, self._optimiser, plan, self._selector, self._average
        )
        if start >= plan.steps or self._stops_early():
            return
        history = self._open_history(start)
        with closing(batches_from(self._fabric, self._task, plan, self._engine, start)) as batches:
            for step in self._steps(start):
                self.step(step, batches, history)
                done = step + 1
                self._log_panel(done, history)
                validated = self._validate(done, history)
                self._record(done, history, validated=validated)
                if self._stops_early():
                    break
        history.close()

    def step(self, step: int, batches: Batches, history: History) -> None:
        """Take one optimiser step: the gradients of all its micro-batches, clipped.

        Args:
            step: number of the step, from 0.
            batches: micro-batches in order, on the host.
            history: receives the losses, averaged over the micro-batches.
        """
        plan, optimiser = self._plan, self._optimiser
        for group in optimiser.param_groups:
            group["lr"] = group["base_lr"] * lr_factor(step, plan.steps, self._schedule)
        values: dict[str, Tensor] = {}
        for micro in range(plan.accumulate):
            with history.waiting_for_data():
                index, batch = next(batches)
            losses = self._backward(index, batch, last=micro + 1 == plan.accumulate)
            for name, value in losses.items():
                share = value.detach() / plan.accumulate
                values[name] = values[name] + share if name in values else share
        norm = clip(self._fabric, self._model, optimiser, self._schedule.clip_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if self._average is not None:
            self._average.update(step)
        history.add_step(values | {"gradient_norm": norm})

    def _backward(self, index: MicroBatchIndex, batch: Any, *, last: bool) -> Losses:
        """Add the gradients of one micro-batch; processes exchange them after the last one."""
        fabric = self._fabric
        self._batch = each_tensor(batch, fabric.to_device)
        # Dropout of a micro-batch must not depend on the steps before it.
        seed_everything(rank_seed(self._plan.seed + index.number, index.rank))
        several = fabric.world_size > 1
        with fabric.no_backward_sync(self._model, enabled=several and not last):  # type: ignore[arg-type]
            losses = self._task.losses(self._model, self._batch, index)
            fabric.backward(losses["total"] / self._plan.accumulate)
        return losses

    def _steps(self, start: int) -> Iterator[int]:
        """Return the steps that are left; the first process shows its progress."""
        steps = range(start, self._plan.steps)
        name = self._plan.folder.name
        return track(steps, name, start=start) if self._fabric.is_global_zero else iter(steps)

    def _open_history(self, start: int) -> History:
        """Open the history, and the loggers of the first process."""
        fabric, plan = self._fabric, self._plan
        loggers: list[ExperimentLogger] = []
        if fabric.is_global_zero:
            drop_lines_after(plan.folder, start)
            about = {"run": plan.config, "commit": self._commit, "world": fabric.world_size}
            names = self._engine.loggers
            loggers = [open_logger(name, plan.folder, start, about) for name in names]
        rows = plan.rows * fabric.world_size * plan.accumulate
        scaled = gradient_scaler(fabric) is not None
        return History(fabric, plan.folder, loggers, rows, scaled=scaled)

    def _log_panel(self, done: int, history: History) -> None:
        """Log a panel of the last batch of the first process, if one is due."""
        every = self._engine.picture_every
        if not every or done % every or not self._fabric.is_global_zero:
            return
        panel = self._task.panel(self._batch)
        if panel is not None:
            history.log_panel(done, panel)

    def _validate(self, done: int, history: History) -> bool:
        """Validate and keep the best weights, if a validation is due; return whether it was."""
        plan, selector = self._plan, self._selector
        if selector is None or not selector.due(done, plan.steps):
            return False
        extra = {"config": plan.config, "commit": self._commit}
        values = selector.validate(self._fabric, plan.folder, self._model, done, extra)
        history.add_validation({name: round(value, 5) for name, value in values.items()})
        return True

    def _record(self, done: int, history: History, *, validated: bool) -> None:
        """Write a line of the history and a checkpoint, if they are due."""
        plan = self._plan
        ends = done == plan.steps or self._stops_early()
        saves = ends or done % plan.checkpoint_every == 0
        # The history is written first: it refuses losses that are not finite.
        if saves or validated or done % (plan.log_every or plan.checkpoint_every) == 0:
            history.write(done, self._optimiser.param_groups[0]["lr"])
        if saves:
            kept = (self._selector, self._average)
            save(self._fabric, plan, self._model, self._optimiser, done, self._commit, *kept)

    def _stops_early(self) -> bool:
        return self._selector is not None and self._selector.exhausted


def batches_from(
    fabric: Fabric, task: Task, plan: Plan, engine: EngineConfig, start: int
) -> Generator[tuple[MicroBatchIndex, Any], None, None]:
    """Return the micro-batches of this process with their indices, on the host and in order.

    Args:
        fabric: launched processes.
        task: task that loads the batches.
        plan: length of the run.
        engine: number of workers, and how far they read ahead.
        start: first step.
    """
    load = task.loader(fabric.world_size)
    pinned = fabric.device.type == "cuda"

    def load_with_index(index: MicroBatchIndex) -> tuple[MicroBatchIndex, Any]:
        batch = load(index)
        return index, each_tensor(batch, Tensor.pin_memory) if pinned else batch

    indices = (
        MicroBatchIndex(step, micro, plan.accumulate, fabric.global_rank, fabric.world_size)
        for step in range(start, plan.steps)
        for micro in range(plan.accumulate)
    )
    return read_ahead(load_with_index, indices, engine.workers, engine.prefetch)
