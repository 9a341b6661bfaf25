"""What a cell is measured by: the only place of the tables that calls evaluation.

run of a cell -> calibrate on valid -> evaluate on test -> the figures that the columns ask for
"""

from collections.abc import Sequence
from pathlib import Path

from radiograph.errors import TaskNotOffered
from radiograph.manifest import Metric
from training.config.experiments import Column, Task
from training.data.rows.dataset_files import DataError
from training.evaluation import zero_shot_classification, zero_shot_grounding
from training.evaluation.assessment import RunFolder, assess
from training.evaluation.calibration import calibrate
from training.evaluation.evaluate import evaluate
from training.evaluation.evaluators.estimates import ALL_LABELS
from training.evaluation.predictions import predict_split
from training.evaluation.trained_model import TrainedModel, load_run
from training.experiments.plan import Cell
from training.experiments.result_store import Measured
from training.metrics.mgca_protocol import SUFFIX

_MEASURED_OTHERWISE = {True: ("dice", "map"), False: ("f1", "accuracy", "dice", "iou", "recall")}
"""Whether a task trains -> metrics that the published protocol takes in another way."""


class NotMeasured(Exception):
    """A figure cannot be had; the message says why."""


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
    try:
        if task.trains:
            found = assess(model, RunFolder(checkpoint.parent)).metrics
        else:
            found = _untrained(
                task, zero_shot_classification.prepare(model, root, task.data, cell.protocol)
            )
    except (DataError, TaskNotOffered) as error:
        raise NotMeasured(str(error)) from error
    return {column.key: figure(found, task, cell, column) for column in columns}


def _untrained(task: Task, model: TrainedModel) -> tuple[Metric, ...]:
    """What a pre-training alone answers: findings by prompts, or phrases and prompts as maps."""
    if task.kind == "zero_shot":
        return zero_shot_classification.classify(model).metrics
    licences = zero_shot_classification.LICENCES
    specs = calibrate(model, predict_split(model, "valid", licences))
    phrases = evaluate(model, specs, predict_split(model, "test", licences))
    return (*phrases, *zero_shot_grounding.ground(model).metrics)


def figure(metrics: Sequence[Metric], task: Task, cell: Cell, column: Column) -> Measured:
    """One figure of a task.

    Of the column's label, or of the task's one label, it is that label's. Of several it is the
    figure of all together where there is one (macro AUROC, accuracy), else the mean over the
    labels, without an interval. Under `protocol: mgca` it is the published one where that differs.

    Raises:
        NotMeasured: there is none.
    """
    mine = [m for m in metrics if m.data == task.data]
    labels = task.labels if column.label is None else (column.label,)
    labels = labels or tuple({m.label: None for m in mine if m.label != ALL_LABELS})
    together = _together(task, column.metric) if len(labels) > 1 else None
    wanted, among = together or column.metric, (ALL_LABELS,) if together else labels
    published = cell.protocol == "mgca" and column.metric in _MEASURED_OTHERWISE[task.trains]
    names = {wanted + SUFFIX} if published else {wanted}
    if task.kind == "ground":
        names |= {f"{wanted} (aligned)" if task.trains else f"{wanted} (zero_shot)"}
    found = [m for m in mine if m.metric in names and m.label in among]
    if not found:
        raise NotMeasured(f"evaluation gave no {' or '.join(sorted(names))} of {', '.join(labels)}")
    mean, n = sum(m.value for m in found) / len(found), max(m.n for m in found)
    if len(found) > 1 or (published and task.trains):
        return Measured(mean, None, None, n)
    return Measured(mean, found[0].low, found[0].high, n)


def _together(task: Task, metric: str) -> str | None:
    """The metric of all labels together, where there is one."""
    if task.kind == "zero_shot":
        return f"macro {metric}"
    return {"auroc": "macro auroc", "accuracy": "argmax accuracy"}.get(metric)
