"""Figures of one data set with their intervals, as the manifest keeps them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from radiograph.manifest import HeadKind, Metric
from training.evaluation.predictions import Prediction
from training.metrics import Counts, bootstrap, weighted_mean

ALL_LABELS = "all findings"
"""Label of a figure that is about all labels together."""


@dataclass(frozen=True)
class Quantity:
    """Data set, task, label and metric that a figure is about."""

    data: str
    task: HeadKind
    label: str
    metric: str


@dataclass(frozen=True, eq=False)
class Figure:
    """A quantity that can be measured on any resample of its images.

    Attributes:
        quantity: data set, task, label and metric.
        patients: patient of each of the N images.
        statistic: number of times that each image counts -> figure, NaN where it is undefined.
    """

    quantity: Quantity
    patients: Sequence[str]
    statistic: Callable[[Counts], float]

    def metric(self) -> Metric:
        """Return the figure with its 95 % interval; NaN where it is not defined."""
        return estimate(self.patients, self.statistic, self.quantity)


class Evaluator(ABC):
    """Measurement of one head on one data set.

    An evaluator keeps figures of each radiograph, never the radiograph. A new metric of a head
    belongs into the evaluator of its kind, and nowhere else.
    """

    @abstractmethod
    def add(self, prediction: Prediction) -> None:
        """Keep the figures of one radiograph."""

    @abstractmethod
    def figures(self) -> Iterator[Figure]:
        """Yield every figure of the radiographs that were added."""


def estimate(
    patients: Sequence[str], statistic: Callable[[Counts], float], quantity: Quantity
) -> Metric:
    """Return a figure with its 95 % interval; NaN where it is not defined.

    Args:
        patients: patient of each image; patients are resampled, not images.
        statistic: number of times that each image counts -> figure.
        quantity: the figure's data set, task, label and metric.
    """
    found = bootstrap(statistic, patients)
    # a bound that is not defined falls back to the figure itself
    low, high = (v if np.isfinite(v) else found.value for v in (found.low, found.high))
    return Metric(
        data=quantity.data, split="test", task=quantity.task, label=quantity.label,
        metric=quantity.metric, n=found.n,
        value=round(found.value, 4), low=round(low, 4), high=round(high, 4),
    )  # fmt: skip


@dataclass
class ImageMean:
    """Mean of one value per image; images whose value is NaN do not count.

    Attributes:
        patients: patient of each counted image.
        values: value of each counted image.
    """

    patients: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, prediction: Prediction, value: float) -> None:
        """Add the value of one image."""
        if np.isfinite(value):
            self.patients.append(prediction.row.patient_id)
            self.values.append(value)

    def figure(self, quantity: Quantity) -> Figure:
        """Return the mean as a figure; it is NaN without a value."""
        values = np.array(self.values)
        return Figure(quantity, self.patients, lambda counts: weighted_mean(values, counts))
