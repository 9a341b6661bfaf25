"""Types of the metrics, and the refusal of what is not finite."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Float64Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Counts = NDArray[np.int64]
"""How often each image counts: 1 each, or how often a resample drew it."""


def finite(values: Float64Array, what: str) -> Float64Array:
    """The values as they are.

    Raises:
        ValueError: one is NaN or infinite, which would rank as anything; `what` names them.
    """
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise ValueError(f"{what}: {bad} of {np.size(values)} scores are not finite")
    return values


def once(count: int) -> Counts:
    """Each of so many images counted once."""
    return np.ones(count, dtype=np.int64)
