"""Measurement of a cell; the only module of the tables that calls evaluation.

run of a cell -> calibrate on valid -> evaluate on test -> the figures of the columns
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from radiograph.errors import TaskNotOffered
from radiograph.manifest import Metric
from training.config.experiments import Column, Task
from training.data.rows.dataset_files import DataError
from training.evaluation.assessment import RunFolder, assess
from training.evaluation.calibration.calibrate import calibrate
from training.evaluation.evaluate import evaluate
from training.evaluation.evaluators.estimates import ALL_LABELS
from training.evaluation.evaluators.grounding import EVERY_FINDING
from training.evaluation.phrases.regions import TARGETS
from training.evaluation.predictions import predict_split
from training.evaluation.trained_model import TrainedModel, load_run
from training.evaluation.zero_shot import classification as zero_shot_classification
from training.evaluation.zero_shot import grounding as zero_shot_grounding
from training.experiments.plan import Cell
from training.experiments.result_store import Measured
from training.metrics.mgca_protocol import SUFFIX

_MEASURED_OTHERWISE = {True: ("dice", "map"), False: ("f1", "accuracy", "dice", "iou", "recall")}
"""True for tasks that train -> metrics that the published protocol measures in another way."""
_JOINT_METRICS = {"auroc": "macro auroc", "accuracy": "argmax accuracy"}
"""Metric of one finding -> metric of all findings together, of tasks that train."""
_OF_PHRASES = {*TARGETS, EVERY_FINDING}
"""Labels of figures of phrases; those of prompts have the names of structures."""


class NotMeasured(Exception):
    """A figure cannot be measured; the message gives the reason."""


def measure(
    task: Task, cell: Cell, checkpoint: Path, columns: Sequence[Column], root: Path
) -> dict[str, Measured]:
    """Return the figure of each column's key on the test split; the run can be published then.

    Args:
        task: task of the cell.
        cell: the cell.
        checkpoint: checkpoint in the folder of the cell's run; that of the pre-training where
            nothing is trained.
        columns: columns of the tables that show the task.
        root: folder of the data sets.

    Raises:
        NotMeasured: a figure cannot be measured.
    """
    model = load_run(checkpoint)
    try:
        if task.trains:
            found = assess(model, RunFolder(checkpoint.parent)).metrics
        else:
            prepared = zero_shot_classification.prepare(model, root, task.data, cell.protocol)
            found = _untrained(task, prepared, columns)
    except (DataError, TaskNotOffered) as error:
        raise NotMeasured(str(error)) from error
    return {column.key: figure(found, task, cell, column) for column in columns}


def _untrained(task: Task, model: TrainedModel, columns: Sequence[Column]) -> tuple[Metric, ...]:
    """Evaluate a pre-training alone: findings by prompts, or phrases and prompts as maps."""
    if task.kind == "zero_shot":
        return zero_shot_classification.classify(model).metrics
    licences = zero_shot_classification.LICENCES
    specs = calibrate(model, predict_split(model, "valid", licences))
    phrases = evaluate(model, specs, predict_split(model, "test", licences))
    if not asks_prompts(task, columns):
        return tuple(phrases)
    return (*phrases, *zero_shot_grounding.ground(model).metrics)


def asks_prompts(task: Task, columns: Sequence[Column]) -> bool:
    """Return whether a column of a `ground` task is about prompts, not about phrases alone.

    Prompts are measured on sets that show their structures; a set of lungs shows none.
    """
    asked = {label for c in columns for label in ((c.label,) if c.label else task.labels)}
    return not asked or not asked <= _OF_PHRASES


def figure(metrics: Sequence[Metric], task: Task, cell: Cell, column: Column) -> Measured:
    """Return one figure of a task.

    The figure of one label is that of the column's label, or of the task's only label. The figure
    of several labels is that of all together where there is one (macro AUROC, accuracy), else the
    mean over the labels, without an interval. Under `protocol: mgca` it is the published metric
    where that differs.

    Raises:
        NotMeasured: the evaluation gave no such metric.
    """
    of_data = [metric for metric in metrics if metric.data == task.data]
    choice = _choose(task, cell, column, of_data)
    found = [m for m in of_data if m.metric in choice.names and m.label in choice.among]
    if not found:
        names, labels = " or ".join(sorted(choice.names)), ", ".join(choice.labels)
        raise NotMeasured(f"evaluation gave no {names} of {labels}")
    mean, n = sum(m.value for m in found) / len(found), max(m.n for m in found)
    if len(found) > 1 or not choice.has_interval:
        return Measured(mean, None, None, n)
    return Measured(mean, found[0].low, found[0].high, n)


@dataclass(frozen=True)
class _Choice:
    """The metrics that make up a figure.

    Attributes:
        names: names of the metric; any of them is taken.
        labels: labels that the figure is about.
        among: labels under which the evaluation reports it.
        has_interval: False for a published metric, which is not resampled.
    """

    names: set[str]
    labels: tuple[str, ...]
    among: tuple[str, ...]
    has_interval: bool


def _choose(task: Task, cell: Cell, column: Column, metrics: Sequence[Metric]) -> _Choice:
    labels = task.labels if column.label is None else (column.label,)
    labels = labels or tuple({m.label: None for m in metrics if m.label != ALL_LABELS})
    joint = _joint_metric(task, column.metric) if len(labels) > 1 else None
    name = joint or column.metric
    published = cell.protocol == "mgca" and column.metric in _MEASURED_OTHERWISE[task.trains]
    names = {name + SUFFIX} if published else {name}
    if task.kind == "ground":
        names |= {f"{name} (aligned)" if task.trains else f"{name} (zero_shot)"}
    among = (ALL_LABELS,) if joint else labels
    return _Choice(names, labels, among, has_interval=not (published and task.trains))


def _joint_metric(task: Task, metric: str) -> str | None:
    """Return the metric of all labels together, or None if there is none."""
    return f"macro {metric}" if task.kind == "zero_shot" else _JOINT_METRICS.get(metric)
