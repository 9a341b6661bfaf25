"""Compute the missing results of a table.

    cell -> its data there? -> its checkpoint (pre-trains an arm)
         -> fine-tune -> measure -> result
         or features of the frozen encoder -> probe -> result

A table that was killed at any time continues when the same command runs again: finished cells are
not computed again, and a training continues from its last checkpoint. A cell that fails is recorded
with its reason and stops no other; the next run tries it again, after the rest. Several processes
train together; the first one decides what is to be done, probes, measures and writes, while the
others wait, however long it takes.
"""

import textwrap
import time
import traceback
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import segmentation_models_pytorch as smp
import torch.distributed as dist
from lightning.fabric import Fabric

from radiograph.errors import RadiographError
from training.config.engine import EngineConfig
from training.config.experiments import (
    PROBE_METRICS,
    ProbeConfig,
    TablesConfig,
    ValidationSchedule,
)
from training.config.files import describe_error, load
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.config.run import Protocol
from training.data.cache.cache import open_cache
from training.data.catalog import open_reader
from training.data.rows.dataset_files import DataError, MissingData
from training.data.sampling.row_selection import training_pool
from training.data.sampling.sampler import steps_per_epoch
from training.engine.checkpoint import read_run
from training.engine.distributed import launch
from training.experiments.measure import NotMeasured, measure
from training.experiments.plan import (
    PRETRAINED,
    Cell,
    TableJob,
    arm_pretraining,
    cells,
    check,
    finetuning,
    pretraining_seed,
    probed_tasks,
    recipe_of,
    source,
    transfers_decoder,
)
from training.experiments.probes import EncodedTables, build_probe, probe_decoder, probe_linear
from training.experiments.result_store import Result, ResultFolder, sha256
from training.finetune.finetune import finetune
from training.finetune.frozen_features import fresh_unet, read_unet
from training.git_commit import current_commit
from training.pretrain.pretrain import pretrain


@dataclass(frozen=True)
class Missing:
    """A cell that cannot be computed here.

    Attributes:
        cell: the cell.
        reason: the file that is missing, or another reason.
    """

    cell: Cell
    reason: str


@dataclass(frozen=True)
class Failed:
    """A cell that ended in an error, which its folder records.

    Attributes:
        cell: the cell.
        reason: the error in one line.
    """

    cell: Cell
    reason: str


Outcome = Result | Missing | Failed


def pretraining_of(
    config: TablesConfig, checkpoint: Path | None, option: str = "--pretrained"
) -> PretrainConfig:
    """Return the configuration of the model: the checkpoint's, or the one that the tables name.

    Args:
        config: the tables.
        checkpoint: a checkpoint, if there is one.
        option: option that names it, for the error.

    Raises:
        RunRefused: it does not exist, is broken, or is not that of a pre-training.
    """
    if checkpoint is None:
        return load(config.pretraining, PretrainConfig)
    return read_run(checkpoint, PretrainConfig, option)[1]


def run(
    job: TableJob, out: Path, cache_folder: Path, *, keep_weights: bool = True
) -> Generator[Outcome, None, None]:
    """Compute the missing cells; the first process yields the outcome of each.

    Args:
        job: the table.
        out: folder of all tables of this configuration.
        cache_folder: folder of preprocessed radiographs.
        keep_weights: keep the weights of fine-tunings that were measured.

    Raises:
        ValueError: the folder belongs to other settings, or the table is not known.
    """
    check(job)
    folder = ResultFolder(out)
    folder.refuse_others(job.claim)
    engine = EngineConfig.model_validate(job.config.shared.get("engine", {}))
    engine = engine.model_copy(update={"devices": job.devices})
    fabric = launch(engine, "32-true", unused_weights=True)
    if fabric.is_global_zero:
        folder.claim(job.claim)
    todo: list[Cell] = fabric.broadcast(undone(job, folder))
    runner = _Runner(job, folder, fabric, cache_folder)
    for cell in todo:
        found = runner.compute(cell)
        if fabric.is_global_zero and found:
            if isinstance(found, Result) and not keep_weights:
                folder.forget_weights(cell)
            yield found


def one_line(error: Exception) -> str:
    """Return an error in one line, with its type unless the project words the message itself."""
    text = describe_error(error) if isinstance(error, ValueError) else str(error)
    line = textwrap.shorten("; ".join(text.splitlines()), 500)
    named = isinstance(error, (RadiographError, OSError, ValueError))
    return line if named and line else f"{type(error).__name__}: {line}"


def is_first() -> bool:
    """Return whether this is the process that measures and writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


def undone(job: TableJob, folder: ResultFolder) -> list[Cell]:
    """Return the cells without a result; those that failed before are the last.

    Raises:
        ValueError: a result is broken, or of another checkpoint.
    """
    digests = {name: sha256(path) for name, path in job.checkpoints.items()}
    expected = {cell: digests.get(source(cell) or "") for cell in cells(job)}
    found = [cell for cell, digest in expected.items() if folder.result(cell, digest) is None]
    return sorted(found, key=lambda cell: bool(folder.failure(cell)))


def missing(job: TableJob, cell: Cell) -> str:
    """Return every reason why a cell cannot be computed here, or ""."""
    return "; ".join(obstacles(job, cell))


def obstacles(job: TableJob, cell: Cell) -> Iterator[str]:
    """Yield each reason why a cell cannot be computed here: its start, then each data set."""
    if reason := _no_start(job, cell):
        yield reason
    data = job.config.tasks[cell.task].data
    needed: list[tuple[str, Protocol]] = [(data, cell.protocol)]
    own = {*job.config.arms, *((PRETRAINED,) if job.config.pretrains else ())}
    tables = job.pretraining.data.tables
    if job.config.probe(cell.task):  # probes read the cache of the pre-training
        needed += [(name, "sound") for name in tables if name != data]
    elif source(cell) in own and source(cell) not in job.checkpoints:
        needed += [(name, "sound") for name in tables]
    for name, protocol in needed:
        try:
            open_reader(job.data, name, protocol)
        except (MissingData, DataError) as error:
            yield str(error)


def _no_start(job: TableJob, cell: Cell) -> str:
    """Return the reason why there are no weights to start from, or ""."""
    if cell.start == "imagenet" and job.pretraining.model.encoder.weights is None:
        return "the model's configuration names no weights to start from"
    given = PRETRAINED in job.checkpoints or job.config.pretrains
    if source(cell) == PRETRAINED and not given:
        return f"no checkpoint: g2d pretrain {job.config.pretraining}, then --pretrained"
    imported = job.pretraining.imported
    if cell.start == "encoder_decoder" and imported and imported.layout == "encoder":
        return f"{imported.file} holds no decoder"
    return ""


@dataclass(frozen=True)
class _FrozenStart:
    """A start of probes, loaded once for all of its cells."""

    key: tuple[str, int | None, Protocol]
    checkpoint: str
    unet: smp.Unet
    encoded: EncodedTables


class _Runner:
    """Computes cells one after the other; each process of a run has one."""

    def __init__(
        self, job: TableJob, folder: ResultFolder, fabric: Fabric, cache_folder: Path
    ) -> None:
        self._job, self._folder = job, folder
        self._fabric, self._cache_folder = fabric, cache_folder
        self._frozen: _FrozenStart | None = None

    def compute(self, cell: Cell) -> Outcome | None:
        """Return the result or the reason why there is none; None in all but the first process."""
        reason: str = self._fabric.broadcast(missing(self._job, cell))
        if reason:
            return Missing(cell, reason)
        began = time.monotonic()
        try:
            start = self._checkpoint(cell)
            trained = self._train(cell, start)
        except DataError as error:  # every process meets it: each reads the data set
            return Missing(cell, str(error))
        except Exception as error:  # no fault of one cell may stop the others
            failed = self._failed(cell, error)
            if self._fabric.world_size > 1 and isinstance(error, RuntimeError):
                raise  # such as too little memory in this process: the others wait for its part
            return failed
        found: Outcome | None = None
        with self._fabric.rank_zero_first():
            if self._fabric.is_global_zero:
                found = self._measured_or_failed(cell, trained, start, began)
        return found

    def _train(self, cell: Cell, start: Path | None) -> Path | None:
        """Return the checkpoint to measure: that of the cell's fine-tuning, or its start."""
        if self._job.config.probe(cell.task) or not self._job.config.tasks[cell.task].trains:
            return start
        config = self._with_validation(cell, start)
        return finetune(config, self._folder.run(cell), self._cache_folder)

    def _measured_or_failed(
        self, cell: Cell, trained: Path | None, start: Path | None, began: float
    ) -> Outcome | None:
        """Probe or measure a cell and keep its result; only the first process does."""
        probe = self._job.config.probe(cell.task)
        found: Outcome | None = None
        try:
            if probe is not None:
                found = self._probe(cell, probe, start)
            elif trained:
                found = self._measure(cell, trained, start, began)
            if isinstance(found, Result):
                self._folder.keep(found)
        except Exception as error:  # noqa: BLE001 - as above
            return self._failed(cell, error)
        return found

    def _failed(self, cell: Cell, error: Exception) -> Failed:
        """Record an error in the cell's folder."""
        reason = one_line(error)
        if self._fabric.is_global_zero:
            self._folder.keep_failure(cell, reason, traceback.format_exc())
        return Failed(cell, reason)

    def _checkpoint(self, cell: Cell) -> Path | None:
        """Return the checkpoint that a cell starts from; pre-train it if there is none."""
        name, seed = source(cell), pretraining_seed(self._job, cell)
        if name is None or name in self._job.checkpoints:
            return self._job.checkpoints.get(name or "")
        folder = self._folder.pretraining(name, seed)
        return pretrain(arm_pretraining(self._job, name, seed), folder, self._cache_folder)

    def _with_validation(self, cell: Cell, start: Path | None) -> FinetuneConfig:
        config, schedule = finetuning(self._job, cell, start), recipe_of(self._job, cell).look
        if schedule is None:
            return config
        with self._fabric.rank_zero_first():
            cache = open_cache(config.data, config.preprocess, self._cache_folder)
        rows = len(training_pool(cache, config))
        return with_validation(config, schedule, rows, self._job.processes)

    def _measure(
        self, cell: Cell, trained: Path, start: Path | None, began: float
    ) -> Result | Missing:
        job = self._job
        columns = {
            column: None
            for table in job.config.tables.values()
            for column in table.columns.values()
            if column.task == cell.task
        }
        try:
            found = measure(job.config.tasks[cell.task], cell, trained, list(columns), job.data)
        except NotMeasured as error:
            return Missing(cell, str(error))
        seconds = round(time.monotonic() - began, 1)
        return Result(cell, found, sha256(start) if start else "", seconds, current_commit())

    def _probe(self, cell: Cell, probe: ProbeConfig, checkpoint: Path | None) -> Result | Missing:
        task = self._job.config.tasks[cell.task]
        fraction, seed = cell.fraction or 1.0, cell.seed or 0
        try:
            start = self._start(cell, checkpoint)
            began = time.monotonic()
            if task.kind == "classify":
                found, training = probe_linear(probe, start.encoded, task, fraction, seed)
            else:
                transfer = transfers_decoder(self._job, cell)
                head = build_probe(start.unet, len(task.labels), seed, transfer=transfer)
                found, training = probe_decoder(probe, start.encoded, head, task, fraction, seed)
        except DataError as error:
            return Missing(cell, str(error))
        seconds, metric = round(time.monotonic() - began, 1), PROBE_METRICS[task.kind]
        figures = {metric: found}
        return Result(cell, figures, start.checkpoint, seconds, current_commit(), training)

    def _start(self, cell: Cell, checkpoint: Path | None) -> _FrozenStart:
        """Return encoder, decoder and features of a start, kept until another start is needed."""
        job, key = self._job, (cell.start, cell.seed, cell.protocol)
        if self._frozen is None or self._frozen.key != key:
            self._frozen = None  # the features of one start may fill the memory
            unet = _unet(job, cell, checkpoint)
            where = {"root": job.data, "protocol": cell.protocol}
            data, spec = job.pretraining.data.model_copy(update=where), job.pretraining.preprocess
            cache = open_cache(data, spec, self._cache_folder)
            tasks = [job.config.tasks[task] for task in probed_tasks(job)]
            encoded = EncodedTables(cache, unet, spec, tasks)
            digest = sha256(checkpoint) if checkpoint else ""
            self._frozen = _FrozenStart(key, digest, unet, encoded)
        return self._frozen


def _unet(job: TableJob, cell: Cell, checkpoint: Path | None) -> smp.Unet:
    """Return the encoder and decoder that a probe starts from."""
    if checkpoint is not None:
        return read_unet(checkpoint)
    encoder = job.pretraining.model.encoder
    if cell.start == "random":
        encoder = encoder.model_copy(update={"weights": None})
    return fresh_unet(encoder, cell.seed or 0)


def with_validation(
    config: FinetuneConfig, schedule: ValidationSchedule, rows: int, processes: int
) -> FinetuneConfig:
    """Add validations to a fine-tuning.

    Args:
        config: the fine-tuning.
        schedule: validations, in epochs.
        rows: number of training rows.
        processes: number of processes that share a step.
    """
    step = config.batch_size * processes * config.engine.accumulate
    rows *= max(1, -(-step // rows))  # as a fine-tuning repeats a pool that is smaller than a step
    every = max(1, round(schedule.epochs * steps_per_epoch(rows, step)))
    choose = schedule.model_dump(exclude={"epochs"}) | {"every": every}
    return FinetuneConfig.model_validate(config.model_dump() | {"choose": choose})
