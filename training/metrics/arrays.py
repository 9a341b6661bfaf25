"""Array types of the metrics, and the refusal of values that are not finite."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Float64Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Counts = NDArray[np.int64]
"""How often each of N images counts: once each, or as often as a resample drew it."""


def finite(values: Float64Array, what: str) -> Float64Array:
    """Return the values unchanged if all are finite.

    Args:
        values: scores of any shape.
        what: name of the metric, for the message.

    Raises:
        ValueError: a value is NaN or infinite, which has no place in a ranking.
    """
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise ValueError(f"{what}: {bad} of {np.size(values)} scores are not finite")
    return values


def once(count: int) -> Counts:
    """Return the counts of N images that count once each."""
    return np.ones(count, dtype=np.int64)
