"""Cells of a table: their start, their training, and the configuration of each.

    table x rows x columns x fractions x seeds x protocols -> cells
    cell -> FinetuneConfig = shared + recipe, at its fraction and protocol + task, data and start
         or ProbeConfig    = recipe

Two tables that need the same figure share its cell: the name of a cell says everything that its
result depends on, apart from the recipes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from radiograph.strict_model import StrictModel
from training.config.engine import EngineConfig
from training.config.experiments import (
    DecoderStart,
    Keys,
    PretrainingArm,
    ProbeConfig,
    Recipe,
    Table,
    TableRow,
    TablesConfig,
    Task,
)
from training.config.files import changed
from training.config.finetune import Detector, FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.config.run import Protocol

PRETRAINED = "pretrained"
"""Name of the checkpoint that the user gives; checkpoints of arms have the names of the arms."""
_UNTRAINED = ("random", "imagenet")
_OF_CHECKPOINT = {"encoder", "encoder_decoder", PRETRAINED}
_DECODED = ("segment", "ground")
"""Kinds of tasks whose heads read the decoder."""
_HEADS = {"classify": "findings", "segment": "masks", "detect": "boxes"}


@dataclass(frozen=True, order=True)
class Cell:
    """One training or zero-shot answer; it may give the figures of several columns.

    Attributes:
        task: name of the task.
        start: `random`, `imagenet`, `encoder`, `encoder_decoder`, `pretrained` where nothing is
            trained, or an arm.
        protocol: protocol of split and measurement.
        detector: detection head, or "" where no boxes are detected.
        fraction: fraction of the labels; None where nothing is trained.
        seed: seed of the training, or of the pre-training that answers; None where the cell has
            neither.
        decoder: start of the decoder where the row decides it, else "".
    """

    task: str
    start: str
    protocol: Protocol
    detector: str = ""
    fraction: float | None = None
    seed: int | None = None
    decoder: DecoderStart = ""

    @property
    def name(self) -> str:
        """Name of the cell's folder."""
        parts = [self.task, self.start, self.protocol, self.detector, self.decoder]
        parts += [f"{self.fraction:g}"] if self.fraction is not None else []
        parts += [f"s{self.seed}"] if self.seed is not None else []
        return "-".join(filter(None, parts))


@dataclass(frozen=True)
class TableRequest:
    """The part of a table that the user asks for.

    Attributes:
        table: name of the table.
        fractions: fractions of the labels; () stands for every fraction of the table.
        seeds: seeds of the trainings; () stands for those of the table.
        protocols: protocols of split and measurement.
        detector: detection head.
        only: names of data sets; () stands for all.
    """

    table: str
    fractions: tuple[float, ...] = ()
    seeds: tuple[int, ...] = ()
    protocols: tuple[Protocol, ...] = ("sound",)
    detector: Detector = "yolov3"
    only: tuple[str, ...] = ()


class Claim(StrictModel):
    """Settings that every result of a folder depends on; titles, rows and columns do not count."""

    data: Path
    pretraining: PretrainConfig
    shared: Keys
    recipes: dict[str, Recipe]
    tasks: dict[str, Task]
    arms: dict[str, PretrainingArm]
    pretrains_each_seed: bool = False


@dataclass(frozen=True)
class TableJob:
    """A table to fill.

    Attributes:
        config: recipes and tables.
        pretraining: configuration of the model, which arms change.
        data: folder of the data sets.
        request: the requested part of a table.
        checkpoints: `pretrained` or an arm -> its checkpoint, for those that the user has.
        processes: number of processes that share a step.
        devices: number of devices of this machine, for a run that no launcher started.
    """

    config: TablesConfig
    pretraining: PretrainConfig
    data: Path
    request: TableRequest
    checkpoints: dict[str, Path] = field(default_factory=dict)
    processes: int = 1
    devices: int = 1

    @property
    def table(self) -> Table:
        """The requested table."""
        return self.config.tables[self.request.table]

    @property
    def fractions(self) -> tuple[float | None, ...]:
        """Requested fractions of the labels, or (None,) where nothing is trained."""
        if not self.table.fractions:
            return (None,)
        return self.request.fractions or self.table.fractions

    @property
    def seeds(self) -> tuple[int, ...]:
        """Requested seeds."""
        return self.request.seeds or self.table.seeds

    @property
    def claim(self) -> Claim:
        """Settings of the results' folder; the devices of a run are not among them."""
        config, root = self.config, self.data.absolute()
        data = self.pretraining.data.model_copy(update={"root": root})
        return Claim(
            data=root,
            pretraining=self.pretraining.model_copy(
                update={"data": data, "engine": EngineConfig()}
            ),
            shared={key: value for key, value in config.shared.items() if key != "engine"},
            recipes=config.recipes,
            tasks=config.tasks,
            arms=config.arms,
            pretrains_each_seed=config.pretrains_each_seed,
        )


def check(job: TableJob) -> None:
    """Refuse a request that the configuration cannot answer.

    Raises:
        ValueError: a table, a data set or an arm is not known, a row transfers a decoder that was
            never trained, a checkpoint is given where each seed has its own, or processes cannot
            share the steps of a cell.
        pydantic.ValidationError: the configuration of a cell or of an arm is not valid.
    """
    tables, request = job.config.tables, job.request
    if request.table not in tables:
        raise ValueError(f"no table {request.table}; there are: {', '.join(tables)}")
    sets = sorted({job.config.tasks[c.task].data for c in job.table.columns.values()})
    if unknown := set(request.only) - set(sets):
        raise ValueError(f"table {request.table} has no {min(unknown)}; it has: {', '.join(sets)}")
    if unknown := set(job.checkpoints) - {PRETRAINED, *job.config.arms}:
        arms = ", ".join(job.config.arms)
        raise ValueError(f"no arm is called {min(unknown)}; they are: {arms}")
    if job.checkpoints and job.config.pretrains_each_seed:
        raise ValueError("each seed has a pre-training of its own: no checkpoint can be given")
    for row in job.table.rows.values():
        if row.decoder == "transferred" and not _trains_decoder(job, row.of or ""):
            raise ValueError(f"{row.of} has no trained decoder that could be transferred")
    for cell in cells(job):
        if cell.start in job.config.arms:
            arm_pretraining(job, cell.start)
        if job.config.tasks[cell.task].trains and not job.config.probe(cell.task):
            finetuning(job, cell, Path(PRETRAINED))


def cells(job: TableJob) -> list[Cell]:
    """Return every cell of the table once, whole seeds first.

    Cells of probes are grouped by their start, so that its features are computed once.
    """
    places = [(task, row) for task in tasks(job) for row in job.table.rows.values()]
    if any(job.config.probe(task) for task, _ in places):
        starts = [row.of for row in job.table.rows.values()]
        places.sort(key=lambda place: starts.index(place[1].of))
    found: dict[Cell, None] = {}
    for seed in job.seeds:
        for protocol in job.request.protocols:
            for task, row in places:
                for fraction in job.fractions:
                    if cell := cell_of(job, row, task, protocol, fraction, seed):
                        found[cell] = None
    return list(found)


def tasks(job: TableJob) -> Iterator[str]:
    """Yield the names of the requested tasks, in the order of the columns."""
    names = dict.fromkeys(column.task for column in job.table.columns.values())
    only = job.request.only
    return (name for name in names if not only or job.config.tasks[name].data in only)


def cell_of(
    job: TableJob, row: TableRow, task: str, protocol: Protocol, fraction: float | None, seed: int
) -> Cell | None:
    """Return the cell that fills a place of the table, or None if we cannot fill it."""
    kind = job.config.tasks[task].kind
    decodes = kind in _DECODED
    needs_decoder = row.of == "encoder_decoder" or row.decoder == "transferred"
    if row.of is None or (needs_decoder and not decodes):
        return None
    if not job.config.tasks[task].trains:
        start = PRETRAINED if row.of in _OF_CHECKPOINT else row.of
        own = seed if job.config.pretrains_each_seed else None
        return Cell(task, start, protocol, seed=own)
    start = row.of
    if start == PRETRAINED:
        start = "encoder_decoder" if decodes else "encoder"
    detector = job.request.detector if kind == "detect" else ""
    decoder: DecoderStart = row.decoder if decodes else ""
    return Cell(task, start, protocol, detector, fraction, seed, decoder)


def source(cell: Cell) -> str | None:
    """Return `pretrained` or the arm whose checkpoint a cell needs; None if it needs none."""
    if cell.start in _UNTRAINED:
        return None
    return PRETRAINED if cell.start in _OF_CHECKPOINT else cell.start


def finetuning(job: TableJob, cell: Cell, checkpoint: Path | None) -> FinetuneConfig:
    """Return the fine-tuning of a cell, still without validation.

    Args:
        job: the table.
        cell: a cell that is fine-tuned.
        checkpoint: checkpoint of the cell's `source`.

    Raises:
        ValueError: the cell is not fine-tuned, or the processes cannot share a step.
        pydantic.ValidationError: the recipe is not valid.
    """
    task = job.config.tasks[cell.task]
    recipe = recipe_of(job, cell)
    if recipe.run is None:
        raise ValueError(f"{cell.name} is a probe, not a fine-tuning")
    at = recipe.at.get(cell.fraction, {}) if cell.fraction is not None else {}
    published = recipe.mgca if cell.protocol == "mgca" else {}
    start = _start(job, cell, checkpoint)
    keys = merged(job.config.shared, recipe.run, at, published, task.run, start)
    about: Keys = {
        "data": {"root": job.data, "tables": [task.data], "protocol": cell.protocol},
        "fraction": cell.fraction,
        "seed": cell.seed,
        "batch_size": _rows_of_a_process(keys["batch_size"], job.processes),
        "engine": {"devices": job.devices},
        "preprocess": job.pretraining.preprocess.model_dump() | keys.get("preprocess", {}),
        **({"regions": True} if task.kind == "ground" else {_HEADS[task.kind]: task.labels}),
    }
    about |= {"detector": cell.detector} if cell.detector else {}
    return FinetuneConfig.model_validate(merged(keys, about))


def recipe_of(job: TableJob, cell: Cell) -> Recipe:
    """Return the recipe of a cell.

    Raises:
        ValueError: the cell trains nothing.
    """
    recipe = job.config.tasks[cell.task].recipe
    if recipe is None:
        raise ValueError(f"{cell.name} trains nothing")
    return job.config.recipes[recipe]


def probed_tasks(job: TableJob) -> dict[str, ProbeConfig]:
    """Return the probe of each probed task of the table, including those that `only` leaves out."""
    probes = {c.task: job.config.probe(c.task) for c in job.table.columns.values()}
    return {task: probe for task, probe in probes.items() if probe is not None}


def arm_pretraining(job: TableJob, arm: str, seed: int | None = None) -> PretrainConfig:
    """Return the pre-training of an arm, or of `pretrained` as it is configured.

    Args:
        job: the table.
        arm: name of the arm, or `pretrained`.
        seed: seed of a table that pre-trains each seed; None is that of the configuration.

    Raises:
        pydantic.ValidationError: a change of the arm is not valid.
    """
    data = job.pretraining.data.model_copy(update={"root": job.data})
    engine = job.pretraining.engine.model_copy(update={"devices": job.devices})
    base = job.pretraining.model_copy(update={"data": data, "engine": engine, "imported": None})
    base = base if seed is None else base.model_copy(update={"seed": seed})
    return base if arm == PRETRAINED else changed(base, job.config.arms[arm].set)


def pretraining_seed(job: TableJob, cell: Cell) -> int | None:
    """Return the seed of the cell's pre-training; None where all seeds share one."""
    return cell.seed if job.config.pretrains_each_seed else None


def transfers_decoder(job: TableJob, cell: Cell) -> bool:
    """Return whether the cell starts from a decoder that was trained before."""
    return cell.decoder != "new" and _trains_decoder(job, cell.start)


def merged(*all_keys: Keys) -> Keys:
    """Join nested keys; a later value replaces an earlier one."""
    found: Keys = {}
    for keys in all_keys:
        for key, value in keys.items():
            before = found.get(key)
            both = isinstance(before, dict) and isinstance(value, dict)
            found[key] = merged(before or {}, value) if both else value
    return found


def _start(job: TableJob, cell: Cell, checkpoint: Path | None) -> Keys:
    model = job.pretraining.model
    if cell.start == "random":
        encoder = model.encoder.model_copy(update={"weights": None})
        return {"model": model.model_copy(update={"encoder": encoder})}
    if cell.start == "imagenet":
        return {"model": model}
    decodes = job.config.tasks[cell.task].kind in _DECODED
    fresh = decodes and not transfers_decoder(job, cell)
    return {"pretrained": checkpoint, "fresh_decoder": fresh}


def _trains_decoder(job: TableJob, start: str) -> bool:
    if start in job.config.arms:
        return arm_pretraining(job, start).decoder_loss != "none"
    return start in ("encoder_decoder", PRETRAINED)


def _rows_of_a_process(rows: int, processes: int) -> int:
    """Return the rows of a step that each process takes.

    Raises:
        ValueError: the rows cannot be divided, or fewer than two are left for a process.
    """
    if rows % processes or rows // processes < 2:
        raise ValueError(
            f"{processes} processes cannot share a step of {rows} rows, 2 or more each"
        )
    return rows // processes
