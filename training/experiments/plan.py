"""A table as cells: what each starts from, what is fine-tuned, and by which configuration.

    table x rows x columns x fractions x seeds x protocols -> cells
    cell -> FinetuneConfig = shared + recipe + recipe at the fraction + task, data and start

Two tables that ask for the same share the cell: its name says everything that it depends on
beside the recipes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from radiograph.strict_model import StrictModel
from training.config.engine import EngineConfig
from training.config.experiments import (
    Keys,
    PretrainingArm,
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
"""The checkpoint that the user names; its arms go by their own names."""
_OF_CHECKPOINT = {"encoder", "encoder_decoder", PRETRAINED}
_DECODED = ("segment", "ground")
"""Kinds whose heads have use for a decoder that was trained before."""
_HEADS = {"classify": "findings", "segment": "masks", "detect": "boxes"}


@dataclass(frozen=True, order=True)
class Cell:
    """One thing to find out; it may answer several columns.

    Attributes:
        task: of `tables.yaml`.
        start: `random`, `imagenet`, `encoder`, `encoder_decoder`, `pretrained` where nothing is
            trained, or an arm.
        protocol: of split and measure.
        detector: where boxes are detected, else "".
        fraction, seed: of the labels, of the fine-tuning; None where nothing is trained.
    """

    task: str
    start: str
    protocol: Protocol
    detector: str = ""
    fraction: float | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """As a folder is called."""
        parts = [self.task, self.start, self.protocol, self.detector]
        parts += [f"{self.fraction:g}"] if self.fraction is not None else []
        parts += [f"s{self.seed}"] if self.seed is not None else []
        return "-".join(filter(None, parts))


@dataclass(frozen=True)
class Asked:
    """What is asked of a table.

    Attributes:
        table: its number.
        fractions: of the labels; () is every one of the table.
        seeds: of the fine-tunings.
        protocols: of split and measure.
        detector: of the detection head.
        only: names of data sets; () is all.
    """

    table: str
    fractions: tuple[float, ...] = ()
    seeds: tuple[int, ...] = (0,)
    protocols: tuple[Protocol, ...] = ("sound",)
    detector: Detector = "yolov3"
    only: tuple[str, ...] = ()


class Claim(StrictModel):
    """What every result of a folder depends on; titles, rows and columns are not among it."""

    data: Path
    pretraining: PretrainConfig
    shared: Keys
    recipes: dict[str, Recipe]
    tasks: dict[str, Task]
    arms: dict[str, PretrainingArm]


@dataclass(frozen=True)
class Job:
    """A table to fill.

    Attributes:
        config: recipes and tables.
        pretraining: what the model is, and what arms change.
        data: folder of the data sets.
        asked: of which table.
        checkpoints: `pretrained` or an arm -> its checkpoint, as far as the user has them.
        processes: that share a step.
        devices: of this machine, for a run that no launcher started.
    """

    config: TablesConfig
    pretraining: PretrainConfig
    data: Path
    asked: Asked
    checkpoints: dict[str, Path] = field(default_factory=dict)
    processes: int = 1
    devices: int = 1

    @property
    def table(self) -> Table:
        """That is asked for."""
        return self.config.tables[self.asked.table]

    @property
    def fractions(self) -> tuple[float | None, ...]:
        """Of the labels, or (None,) where nothing is trained."""
        if not self.table.fractions:
            return (None,)
        return self.asked.fractions or self.table.fractions

    @property
    def claim(self) -> Claim:
        """What the results of a folder belong to; where a run computes is not among it."""
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
        )


def check(job: Job) -> None:
    """Refuse what the recipes do not know.

    Raises:
        ValueError: a table, a data set or an arm of that name is not there.
    """
    tables, asked = job.config.tables, job.asked
    if asked.table not in tables:
        raise ValueError(f"no table {asked.table}; there are: {', '.join(tables)}")
    sets = sorted({job.config.tasks[c.task].data for c in job.table.columns.values()})
    if unknown := set(asked.only) - set(sets):
        raise ValueError(f"table {asked.table} has no {min(unknown)}; it has: {', '.join(sets)}")
    if unknown := set(job.checkpoints) - {PRETRAINED, *job.config.arms}:
        arms = ", ".join(job.config.arms)
        raise ValueError(f"no arm is called {min(unknown)}; they are: {arms}")


def cells(job: Job) -> list[Cell]:
    """Every cell of the table, whole seeds first, each once."""
    found: dict[Cell, None] = {}
    for seed in job.asked.seeds:
        for protocol in job.asked.protocols:
            for task in tasks(job):
                for row in job.table.rows.values():
                    for fraction in job.fractions:
                        if cell := cell_of(job, row, task, protocol, fraction, seed):
                            found[cell] = None
    return list(found)


def tasks(job: Job) -> Iterator[str]:
    """Names of what the columns ask for, in their order."""
    names = dict.fromkeys(column.task for column in job.table.columns.values())
    only = job.asked.only
    return (name for name in names if not only or job.config.tasks[name].data in only)


def cell_of(
    job: Job, row: TableRow, task: str, protocol: Protocol, fraction: float | None, seed: int
) -> Cell | None:
    """The cell that a place of the table is filled from; None where there is nothing of ours."""
    kind = job.config.tasks[task].kind
    if row.of is None or (row.of == "encoder_decoder" and kind not in _DECODED):
        return None
    if not job.config.tasks[task].trains:
        start = PRETRAINED if row.of in _OF_CHECKPOINT else row.of
        return Cell(task, start, protocol)
    start = row.of
    if start == PRETRAINED:
        start = "encoder_decoder" if kind in _DECODED else "encoder"
    detector = job.asked.detector if kind == "detect" else ""
    return Cell(task, start, protocol, detector, fraction, seed)


def source(cell: Cell) -> str | None:
    """`pretrained` or the arm whose checkpoint a cell needs; None where it needs none."""
    if cell.start in ("random", "imagenet"):
        return None
    return PRETRAINED if cell.start in _OF_CHECKPOINT else cell.start


def finetuning(job: Job, cell: Cell, checkpoint: Path | None) -> FinetuneConfig:
    """The run of a cell, which looks at no validation split yet.

    Args:
        job: that it is of.
        cell: one that trains.
        checkpoint: that `source` asks for.

    Raises:
        ValueError: the cell trains nothing, or the processes cannot share a step.
        pydantic.ValidationError: the recipe is not valid.
    """
    task = job.config.tasks[cell.task]
    recipe = recipe_of(job, cell)
    at = recipe.at.get(cell.fraction, {}) if cell.fraction is not None else {}
    keys = merged(job.config.shared, recipe.run, at, task.run, _start(job, cell, checkpoint))
    about: Keys = {
        "data": {"root": job.data, "tables": [task.data], "protocol": cell.protocol},
        "fraction": cell.fraction,
        "seed": cell.seed,
        "batch_size": _shared(keys["batch_size"], job.processes),
        "engine": {"devices": job.devices},
        "preprocess": job.pretraining.preprocess.model_dump() | keys.get("preprocess", {}),
        **({"regions": True} if task.kind == "ground" else {_HEADS[task.kind]: task.labels}),
    }
    about |= {"detector": cell.detector} if cell.detector else {}
    return FinetuneConfig.model_validate(merged(keys, about))


def recipe_of(job: Job, cell: Cell) -> Recipe:
    """How a cell is fine-tuned.

    Raises:
        ValueError: it is not.
    """
    recipe = job.config.tasks[cell.task].recipe
    if recipe is None:
        raise ValueError(f"{cell.name} trains nothing")
    return job.config.recipes[recipe]


def arm_pretraining(job: Job, arm: str) -> PretrainConfig:
    """The pre-training of `pretrained` as it is, or of an arm, which changes it.

    Raises:
        pydantic.ValidationError: a change is not valid.
    """
    data = job.pretraining.data.model_copy(update={"root": job.data})
    engine = job.pretraining.engine.model_copy(update={"devices": job.devices})
    base = job.pretraining.model_copy(update={"data": data, "engine": engine, "imported": None})
    return base if arm == PRETRAINED else changed(base, job.config.arms[arm].set)


def merged(*all_keys: Keys) -> Keys:
    """Keys of parts joined, the later ones before the earlier."""
    found: Keys = {}
    for keys in all_keys:
        for key, value in keys.items():
            before = found.get(key)
            both = isinstance(before, dict) and isinstance(value, dict)
            found[key] = merged(before or {}, value) if both else value
    return found


def _start(job: Job, cell: Cell, checkpoint: Path | None) -> Keys:
    model = job.pretraining.model
    if cell.start == "random":
        encoder = model.encoder.model_copy(update={"weights": None})
        return {"model": model.model_copy(update={"encoder": encoder})}
    if cell.start == "imagenet":
        return {"model": model}
    decodes = job.config.tasks[cell.task].kind in _DECODED
    return {"pretrained": checkpoint, "fresh_decoder": decodes and not _transfers(job, cell)}


def _transfers(job: Job, cell: Cell) -> bool:
    """Whether the start has a decoder that was trained."""
    if cell.start in job.config.arms:
        return arm_pretraining(job, cell.start).decoder_loss != "none"
    return cell.start == "encoder_decoder"


def _shared(batch: int, processes: int) -> int:
    """Rows of a step for each process."""
    if batch % processes or batch // processes < 2:
        raise ValueError(
            f"{processes} processes cannot share a step of {batch} rows, 2 or more each"
        )
    return batch // processes
