"""Percentile bootstrap of a metric over patients."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from training.metrics.arrays import BoolArray, Counts, Float64Array

Statistic = Callable[[Counts], float]
"""Counts of the images -> metric, NaN where it is undefined."""


@dataclass(frozen=True)
class Estimate:
    """A metric of n images with its 95 % interval; NaN where it is undefined."""

    value: float
    low: float
    high: float
    n: int


def bootstrap(
    statistic: Statistic, patients: Sequence[str], repeats: int = 1000, seed: int = 0
) -> Estimate:
    """Return a statistic and its percentile interval, resampling patients, not images.

    Images of one patient are not independent, so they are drawn together.

    Args:
        statistic: metric as a function of the counts of the images.
        patients: patient of each of the N images.
        repeats: number of resamples; those in which the metric is undefined are left out.
        seed: seed of the resampling.
    """
    if not len(patients):
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    names, of_image = np.unique(np.asarray(patients), return_inverse=True)
    value = statistic(np.ones(len(patients), dtype=np.int64))
    rng = np.random.default_rng(seed)
    # A patient that is drawn k times contributes each of his images k times.
    draws = np.array(
        [
            statistic(np.bincount(drawn, minlength=len(names))[of_image])
            for drawn in (rng.integers(0, len(names), len(names)) for _ in range(repeats))
        ]
    )
    defined = draws[np.isfinite(draws)]
    if not len(defined):
        return Estimate(value, float("nan"), float("nan"), len(patients))
    low, high = np.percentile(defined, (2.5, 97.5))
    return Estimate(value, float(low), float(high), len(patients))


def weighted_mean(values: Float64Array | BoolArray, counts: Counts) -> float:
    """Return the mean over N images weighted by their counts; NaN if none counts."""
    total = int(counts.sum())
    return float(counts @ values.astype(np.float64)) / total if total else float("nan")
