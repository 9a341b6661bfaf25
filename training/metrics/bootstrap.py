"""A figure and its interval: percentile bootstrap over patients."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from training.metrics.arrays import BoolArray, Counts, Float64Array

__all__ = ["Counts", "Estimate", "Statistic", "bootstrap", "weighted_mean"]

Statistic = Callable[[Counts], float]
"""How often each image counts -> the figure, NaN where it is not defined."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; all NaN where it is not defined."""

    value: float
    low: float
    high: float
    n: int


def bootstrap(
    statistic: Statistic, patients: Sequence[str], repeats: int = 1000, seed: int = 0
) -> Estimate:
    """A statistic and its percentile interval, resampling patients, not images.

    Args:
        statistic: of the images as they are, and of each resample.
        patients: of each image.
        repeats: resamples; those in which the figure is not defined are left out.
        seed: of the resampling.
    """
    if not len(patients):
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    names, of_image = np.unique(np.asarray(patients), return_inverse=True)
    value = statistic(np.ones(len(patients), dtype=np.int64))
    rng = np.random.default_rng(seed)
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
    """Mean of what each image has, NaN where none counts."""
    total = int(counts.sum())
    return float(counts @ values.astype(np.float64)) / total if total else float("nan")
