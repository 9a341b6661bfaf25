"""Percentiles near both ends of the values of an image, without sorting all of them.

    values --every 16th, sorted--> bound --values beyond it, sorted--> order statistics

The bound comes from a sample and is only a guess. Whether enough values lie beyond it is counted,
and if too few do, all values are sorted. So the order statistics are exact in any case, and the
percentiles are those of `numpy.percentile`, bit for bit.
"""

import math

import numpy as np
from numpy.typing import NDArray

_SAMPLE = 16
"""The sample has every 16th value."""

_MARGIN = 2
"""The bound leaves twice as many values as are needed, if the sample is like the whole."""

_SPARE = 8
"""Further values of the sample beyond the bound, as small samples vary."""

Values = NDArray[np.float32]


def percentiles(values: Values, low: float, high: float) -> tuple[np.float64, np.float64]:
    """Return two percentiles, interpolated linearly between the nearest values.

    Args:
        values: any shape, float32, finite, at least one.
        low: percentile below 50, from 0.
        high: percentile above 50, up to 100.
    """
    flat = values.reshape(-1)
    last = flat.size - 1
    low_place, high_place = last * (low / 100), last * (high / 100)
    lowest = _lowest(flat, min(math.floor(low_place) + 2, flat.size))
    # The highest values are the lowest of the negated ones, in reverse.
    highest = _lowest(-flat, last - math.floor(high_place) + 1)
    return (
        _between(lowest, low_place),
        _between(-highest[::-1], high_place - (flat.size - highest.size)),
    )


def _lowest(flat: Values, count: int) -> Values:
    """Return the `count` lowest values or more of them, in ascending order."""
    sample = np.sort(flat[::_SAMPLE])
    place = math.ceil(count / _SAMPLE) * _MARGIN + _SPARE
    if place < sample.size // 2:
        beyond = flat[flat <= sample[place]]
        if beyond.size >= count:
            return np.sort(beyond)
    return np.sort(flat)


def _between(ordered: Values, place: float) -> np.float64:
    """Interpolate between the two values around a place, in the steps that NumPy takes."""
    index = min(math.floor(place), ordered.size - 1)
    one, other = ordered[index], ordered[min(index + 1, ordered.size - 1)]
    share = place - math.floor(place)
    difference = np.float64(other - one)  # rounded to float32 before
    if share >= 0.5:
        return np.float64(other - difference * (1 - share))
    return np.float64(one + difference * share)
