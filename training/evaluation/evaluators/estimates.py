"""A figure of one data set with its interval, as the manifest keeps it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from radiograph.manifest import Metric, Task
from training.evaluation.predictions import Prediction
from training.metrics import Counts, bootstrap, weighted_mean

ALL_LABELS = "all findings"
"""The label of a figure that is of all labels together."""


class Measure(Protocol):
    """Something that is measured over the radiographs of one data set."""

    def add(self, seen: Prediction) -> None:
        """Keep the figures of one radiograph."""

    def metrics(self) -> Iterator[Metric]:
        """Every figure of those that were added."""


def figure(
    patients: Sequence[str],
    statistic: Callable[[Counts], float],
    about: tuple[str, Task, str, str],
) -> Metric:
    """One figure of the test split; NaN where it is not defined.

    Args:
        patients: of each image.
        statistic: how often each image counts -> the figure.
        about: data set, task, label, metric.
    """
    data, task, label, name = about
    found = bootstrap(statistic, patients)
    low, high = (v if np.isfinite(v) else found.value for v in (found.low, found.high))
    return Metric(
        data=data, split="test", task=task, label=label, metric=name, n=found.n,
        value=round(found.value, 4), low=round(low, 4), high=round(high, 4),
    )  # fmt: skip


def without_interval(value: float, n: int, about: tuple[str, Task, str, str]) -> Metric:
    """A figure that no resample of patients gives."""
    data, task, label, name = about
    told = round(value, 4)
    return Metric(
        data=data, split="test", task=task, label=label, metric=name, n=n,
        value=told, low=told, high=told,
    )  # fmt: skip


@dataclass
class Mean:
    """A figure that is the mean of one value an image; images where it is NaN do not count."""

    patients: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, seen: Prediction, value: float) -> None:
        """The value of one image."""
        if np.isfinite(value):
            self.patients.append(seen.row.patient_id)
            self.values.append(value)

    def metric(self, about: tuple[str, Task, str, str]) -> Metric:
        """The mean, NaN without a value."""
        values = np.array(self.values)
        return figure(self.patients, lambda counts: weighted_mean(values, counts), about)
