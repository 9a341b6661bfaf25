"""What a cell is measured by: the only place of the tables that calls evaluation.

run of a cell -> calibrate on valid -> evaluate on test -> the figures that the columns ask for
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from radiograph.manifest import Metric
from training.calibrate import calibrate
from training.config import PairsConfig
from training.evaluate import evaluate
from training.inference import TrainedModel, load_run, to_device_of_run
from training.measures.figure import ALL_LABELS
from training.mgca_metrics import SUFFIX
from training.publish import RunFolder, assess
from training.seen import see
from training.tables.config import Column, Task
from training.tables.folder import Measured
from training.tables.plan import Cell

EVERY: tuple[Literal["open", "noncommercial"], ...] = ("open", "noncommercial")
"""Licence class: test rows of each are measured on."""
_TOGETHER = {"auroc": "macro auroc", "accuracy": "argmax accuracy"}
"""Metric of one label -> that of all labels together."""


class NotMeasured(Exception):
    """A figure cannot be had; the message says why."""


def unmeasurable(task: Task) -> str:
    """Why a cell cannot be measured, known before anything is trained; "" where it can."""
    return "zero-shot classification is not measured yet" if task.kind == "zero_shot" else ""


def measure(
    task: Task, cell: Cell, checkpoint: Path, columns: Sequence[Column], root: Path
) -> dict[str, Measured]:
    """Key of a column -> figure of the test split; the run can be published afterwards.

    Args:
        task: of the cell.
        cell: which.
        checkpoint: of its run, in the run's folder; of the pre-training where nothing is trained.
        columns: what the tables ask for.
        root: of the data sets.

    Raises:
        NotMeasured: a figure cannot be had.
    """
    model = load_run(checkpoint)
    if task.trains:
        found = assess(model, RunFolder(checkpoint.parent)).metrics
    else:
        found = _untrained(model, PairsConfig(root=root, tables=(task.data,), licences=EVERY))
    return {column.key: figure(found, task, cell, column) for column in columns}


def _untrained(model: TrainedModel, data: PairsConfig) -> tuple[Metric, ...]:
    """The figures of a pre-training on a data set that may be none of its own."""
    elsewhere = replace(model, config=model.config.model_copy(update={"data": data}))
    specs = calibrate(to_device_of_run(elsewhere), see(elsewhere, "valid", EVERY))
    return evaluate(elsewhere, specs, see(elsewhere, "test", EVERY))


def figure(metrics: Sequence[Metric], task: Task, cell: Cell, column: Column) -> Measured:
    """One figure of a task.

    That of the column's label, or of all labels together where evaluation gives one, or the mean
    over the labels, without an interval. Under `protocol: mgca` as published, where that differs.

    Raises:
        NotMeasured: there is none.
    """
    of_data = [m for m in metrics if m.data == task.data]
    for name in _names(task, cell, column.metric):
        together = _TOGETHER.get(name, name)
        labels = task.labels if column.label is None else (column.label,)
        of_all = [m for m in of_data if (m.label, m.metric) == (ALL_LABELS, together)]
        of_each = [m for m in of_data if m.metric == name and m.label in labels]
        if len(labels) > 1 and of_all:
            of_each = of_all
        if of_each:
            return _joined(of_each)
    raise NotMeasured(f"evaluation gave no {column.key} of {task.data}")


def _names(task: Task, cell: Cell, metric: str) -> list[str]:
    """A metric as evaluation calls it, the first choice first."""
    if task.kind == "ground":
        return [f"{metric} ({'aligned' if task.trains else 'zero_shot'})"]
    return [metric + SUFFIX, metric] if cell.protocol == "mgca" else [metric]


def _joined(figures: Sequence[Metric]) -> Measured:
    if len(figures) == 1:
        one = figures[0]
        return Measured(one.value, one.low, one.high, one.n)
    mean = sum(m.value for m in figures) / len(figures)
    return Measured(mean, None, None, max(m.n for m in figures))
