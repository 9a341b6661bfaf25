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
_MEASURED_OTHERWISE = ("dice", "map")
"""Metrics that the published protocol takes in another way."""


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

    Of the column's label, or of the task's one label, it is that label's. Of several it is the
    figure of all together where there is one (macro AUROC, accuracy), else the mean over the
    labels, without an interval. Under `protocol: mgca` it is the published one where that differs.

    Raises:
        NotMeasured: there is none.
    """
    labels = task.labels if column.label is None else (column.label,)
    together = len(labels) > 1 and column.metric in _TOGETHER
    wanted = _TOGETHER[column.metric] if together else column.metric
    if task.kind == "ground":
        wanted += " (aligned)" if task.trains else " (zero_shot)"
    if cell.protocol == "mgca" and column.metric in _MEASURED_OTHERWISE:
        wanted += SUFFIX
    among = (ALL_LABELS,) if together else labels
    named = [m for m in metrics if (m.data, m.metric) == (task.data, wanted)]
    found = [m for m in named if m.label in among]
    if not found:
        raise NotMeasured(f"evaluation gave no {wanted} of {', '.join(labels)}")
    mean, n = sum(m.value for m in found) / len(found), max(m.n for m in found)
    if len(found) > 1 or wanted.endswith(SUFFIX):
        return Measured(mean, None, None, n)
    return Measured(mean, found[0].low, found[0].high, n)
