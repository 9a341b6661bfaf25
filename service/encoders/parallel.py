"""Threads that share the pixels of one image: work on bands of rows or columns, on all CPUs.

NumPy, Pillow and ISA-L release the GIL, so that a band costs its time on one CPU alone. The threads
serve all images of the process; work on one band must not wait for another one.
"""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from service.host import available_cpus

T = TypeVar("T")


def map_bands(work: Callable[[int, int], T], length: int, band: int) -> list[T]:
    """Call `work(start, stop)` for each band, and return the results in order. Blocks.

    Args:
        work: called with the half-open range of one band.
        length: number of rows or columns.
        band: number of rows or columns of a band; the last one may be smaller.
    """
    starts = range(0, length, band)
    stops = [min(start + band, length) for start in starts]
    if len(stops) == 1:
        return [work(0, length)]
    return list(_threads().map(work, starts, stops))


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """Return the threads, which start with the first image."""
    return ThreadPoolExecutor(available_cpus(), thread_name_prefix="pixels")
