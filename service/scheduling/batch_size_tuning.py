"""Batch size tuning: the largest batch of a graph that still saves time for each image."""

import logging
import time
from collections.abc import Callable

logger = logging.getLogger("g2d.batching")

_BATCH_SIZES = (1, 2, 4, 8)
_MAX_TIME_RATIO = 0.97
"""A larger batch must need at most this share of the time for each image, to exceed the noise."""


def measure_max_batch(run: Callable[[int], object], budget_s: float = 1.5) -> int:
    """Measure which batch size of 1, 2, 4 or 8 takes the least time for each image.

    A size counts only if it is faster than the one before it, so no allowed batch is slower for
    each image than running the images one by one.

    Args:
        run: runs a batch of the given number of images.
        budget_s: a size that would exceed this time in total is not tried.
    """
    start = time.perf_counter()
    best, best_s = 1, _fastest_run_s(run, 1)
    for size in _BATCH_SIZES[1:]:
        if time.perf_counter() - start + 2 * size * best_s > budget_s:
            break
        per_image_s = _fastest_run_s(run, size) / size
        if per_image_s > best_s * _MAX_TIME_RATIO:
            break
        best, best_s = size, per_image_s
    logger.info("maximum batch size %d: %.1f ms for each image", best, best_s * 1e3)
    return best


def _fastest_run_s(run: Callable[[int], object], size: int) -> float:
    """Return the shorter time of two runs; the first run of a size also allocates memory."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        run(size)
        times.append(time.perf_counter() - start)
    return min(times)
