"""What a cell is measured by: the only place of the tables that calls evaluation.

run of a cell -> calibrate on valid -> evaluate on test -> the figures that the columns ask for
"""

from collections.abc import Sequence
from pathlib import Path

from radiograph.manifest import Metric
from training.inference import load_run
from training.publish import RunFolder, assess
from training.tables.config import Task
from training.tables.folder import Measured
from training.tables.plan import Cell


class NotMeasured(Exception):
    """A figure cannot be had; the message says why."""


def unmeasurable(task: Task, cell: Cell) -> str:
    """Why a cell cannot be measured, known before anything is trained; "" where it can."""
    if not task.trains:
        return "zero-shot answers of this data set are not measured yet"
    if cell.protocol != "sound":
        return f"the {cell.protocol} way of measuring is not there yet"
    return ""


def measure(
    task: Task, cell: Cell, checkpoint: Path, metrics: Sequence[str]
) -> dict[str, Measured]:
    """Metric -> figure of the test split; the run can be exported and published afterwards.

    Args:
        task: of the cell.
        cell: which.
        checkpoint: of its run, in the run's folder.
        metrics: that the tables ask for.

    Raises:
        NotMeasured: one of them cannot be had.
    """
    if why := unmeasurable(task, cell):
        raise NotMeasured(why)
    found = assess(load_run(checkpoint), RunFolder(checkpoint.parent)).metrics
    return {name: figure(found, task, name) for name in metrics}


def figure(metrics: Sequence[Metric], task: Task, name: str) -> Measured:
    """One figure of a task: that of its label, or the mean over its labels, without an interval.

    Raises:
        NotMeasured: there is none.
    """
    named = [m for m in metrics if (m.data, m.metric) == (task.data, name)]
    of_labels = [m for m in named if m.label in task.labels] or named
    if not of_labels:
        raise NotMeasured(f"evaluation gave no {name} of {', '.join(task.labels)}")
    if len(of_labels) == 1:
        one = of_labels[0]
        return Measured(one.value, one.low, one.high, one.n)
    mean = sum(m.value for m in of_labels) / len(of_labels)
    return Measured(mean, None, None, max(m.n for m in of_labels))
