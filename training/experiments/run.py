"""Compute what is missing of a table.

    cell -> its data there? -> its checkpoint (pre-trains an arm) -> fine-tune -> measure -> result

Killed at any time, the same command goes on: a result that is there is not computed again, and a
run goes on from its last checkpoint. Several processes train together; the first of them says what
is to be done, measures and writes, while the others wait, however long it takes.
"""

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import torch.distributed as dist
from lightning.fabric import Fabric
from pydantic import ValidationError

from training.config.engine import EngineConfig
from training.config.experiments import Look, TablesConfig
from training.config.files import load
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.config.run import Protocol
from training.data.batches.row_selection import training_pool
from training.data.batches.sampler import steps_per_epoch
from training.data.cache.cache import open_cache
from training.data.catalog import open_reader
from training.data.rows.dataset_files import DataError, MissingData
from training.engine.checkpoint import read_checkpoint
from training.engine.distributed import launch
from training.experiments.measure import NotMeasured, measure
from training.experiments.plan import (
    PRETRAINED,
    Cell,
    Job,
    arm_pretraining,
    cells,
    check,
    finetuning,
    recipe_of,
    source,
)
from training.experiments.result_store import Folder, Result, sha256
from training.finetune.finetune import finetune
from training.git_commit import current_commit
from training.pretrain.pretrain import pretrain


@dataclass(frozen=True)
class Missing:
    """A cell that has no result.

    Attributes:
        reason: which file is not there, or why else.
    """

    cell: Cell
    reason: str


def pretraining_of(config: TablesConfig, checkpoint: Path | None) -> PretrainConfig:
    """What the model is: what the checkpoint says, or else the configuration that is named.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: it is not that of a pre-training.
    """
    if checkpoint is None:
        return load(config.pretraining, PretrainConfig)
    try:
        return PretrainConfig.model_validate_json(read_checkpoint(checkpoint).config)
    except ValidationError as error:
        raise ValueError(f"{checkpoint} is not the checkpoint of a pre-training") from error


def run(
    job: Job, out: Path, cache_folder: Path, *, keep_weights: bool = True
) -> Generator[Result | Missing, None, None]:
    """Compute what is missing; the first process gives each result as it is found.

    Args:
        job: the table.
        out: folder of all tables of these recipes.
        cache_folder: of preprocessed radiographs.
        keep_weights: of the fine-tunings, once they are measured.

    Raises:
        ValueError: the folder holds something else, or the table is not known.
    """
    check(job)
    folder = Folder(out)
    folder.refuse_others(job.claim)
    engine = EngineConfig.model_validate(job.config.shared.get("engine", {}))
    fabric = launch(engine.model_copy(update={"devices": job.devices}), "32-true")
    if fabric.is_global_zero:
        folder.claim(job.claim)
    todo: list[Cell] = fabric.broadcast(undone(job, folder))
    for cell in todo:
        found = _compute(job, folder, cell, fabric, cache_folder)
        if fabric.is_global_zero and found:
            if isinstance(found, Result) and not keep_weights:
                folder.forget_weights(cell)
            yield found


def is_first() -> bool:
    """Whether this is the process that measures and writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


def undone(job: Job, folder: Folder) -> list[Cell]:
    """Cells without a result.

    Raises:
        ValueError: a result is broken, or of another checkpoint.
    """
    digests = {name: sha256(path) for name, path in job.checkpoints.items()}
    expected = {cell: digests.get(source(cell) or "") for cell in cells(job)}
    return [cell for cell, digest in expected.items() if folder.result(cell, digest) is None]


def missing(job: Job, cell: Cell) -> str:
    """Why a cell cannot be computed here: every reason, or ""."""
    reasons = [_no_start(job, cell)]
    wanted: list[tuple[str, Protocol]] = [(job.config.tasks[cell.task].data, cell.protocol)]
    own = {*job.config.arms, *((PRETRAINED,) if job.config.pretrains else ())}
    if source(cell) in own and source(cell) not in job.checkpoints:
        wanted += [(name, "sound") for name in job.pretraining.data.tables]
    for name, protocol in wanted:
        try:
            open_reader(job.data, name, protocol)
        except (MissingData, DataError) as error:
            reasons.append(str(error))
    return "; ".join(filter(None, reasons))


def _no_start(job: Job, cell: Cell) -> str:
    """Why there are no weights to start from, or ""."""
    if cell.start == "imagenet" and job.pretraining.model.encoder.weights is None:
        return "the model's configuration names no weights to start from"
    given = PRETRAINED in job.checkpoints or job.config.pretrains
    if source(cell) == PRETRAINED and not given:
        return f"no checkpoint: g2d pretrain {job.config.pretraining}, then --pretrained"
    imported = job.pretraining.imported
    if cell.start == "encoder_decoder" and imported and imported.layout == "encoder":
        return f"{imported.file} holds no decoder"
    return ""


def _compute(
    job: Job, folder: Folder, cell: Cell, fabric: Fabric, cache_folder: Path
) -> Result | Missing | None:
    """The first process gives the result, or why there is none; the others None."""
    reason: str = fabric.broadcast(missing(job, cell))
    if reason:
        return Missing(cell, reason)
    began = time.monotonic()
    try:
        start = _checkpoint(job, folder, cell, cache_folder)
        trained = start
        if job.config.tasks[cell.task].trains:
            config = _looking(job, cell, start, fabric, cache_folder)
            trained = finetune(config, folder.run(cell), cache_folder)
    except DataError as error:  # every process meets it: each reads the data set
        return Missing(cell, str(error))
    found: Result | Missing | None = None
    with fabric.rank_zero_first():
        if fabric.is_global_zero and trained:
            found = _measure(job, cell, trained, start, began)
            if isinstance(found, Result):
                folder.keep(found)
    return found


def _checkpoint(job: Job, folder: Folder, cell: Cell, cache_folder: Path) -> Path | None:
    """What a cell starts from; pre-trains, or goes on with it, where there is none."""
    name = source(cell)
    if name is None or name in job.checkpoints:
        return job.checkpoints.get(name or "")
    return pretrain(arm_pretraining(job, name), folder.pretraining(name), cache_folder)


def _looking(
    job: Job, cell: Cell, start: Path | None, fabric: Fabric, cache_folder: Path
) -> FinetuneConfig:
    config, look = finetuning(job, cell, start), recipe_of(job, cell).look
    if look is None:
        return config
    with fabric.rank_zero_first():
        cache = open_cache(config.data, config.preprocess, cache_folder)
    return with_looks(config, look, len(training_pool(cache, config)), job.processes)


def with_looks(config: FinetuneConfig, look: Look, rows: int, processes: int) -> FinetuneConfig:
    """Look at the validation split every so many epochs of so many rows."""
    step = config.batch_size * processes * config.engine.accumulate
    rows *= max(1, -(-step // rows))  # as a fine-tuning repeats a pool that is smaller than a step
    every = max(1, round(look.epochs * steps_per_epoch(rows, step)))
    choose = look.model_dump(exclude={"epochs"}) | {"every": every}
    return FinetuneConfig.model_validate(config.model_dump() | {"choose": choose})


def _measure(
    job: Job, cell: Cell, trained: Path, start: Path | None, began: float
) -> Result | Missing:
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
