"""Batch size tuning: the largest batch of a graph that still pays for itself."""

import logging
import time
from collections.abc import Callable

logger = logging.getLogger("g2d.batching")

_LADDER = (1, 2, 4, 8)


_GAIN = 0.97
"""A larger batch must take at most this part of the time for each image: more than noise."""


def measure_max_batch(run: Callable[[int], object], budget_s: float = 1.5) -> int:
    """The batch size of 1, 2, 4 or 8 that takes the least time for each image here.

    A size counts only if it is faster than the one before it, so no batch that is allowed is
    slower for each image than no batch at all.

    Args:
        run: runs a batch of so many images.
        budget_s: a size that would take longer is not tried.
    """
    start = time.perf_counter()
    best, best_s = 1, _seconds(run, 1)
    for size in _LADDER[1:]:
        if time.perf_counter() - start + 2 * size * best_s > budget_s:
            break
        each_s = _seconds(run, size) / size
        if each_s > best_s * _GAIN:
            break
        best, best_s = size, each_s
    logger.info("batches of up to %d: %.1f ms for each image", best, best_s * 1e3)
    return best


def _seconds(run: Callable[[int], object], size: int) -> float:
    """The better of two runs: the first of a size allocates."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        run(size)
        times.append(time.perf_counter() - start)
    return min(times)
