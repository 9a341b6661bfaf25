"""Token buckets: a steady rate with a burst, for each of a bounded number of names."""

import time
from collections import OrderedDict
from collections.abc import Callable

MAX_NAMES = 4096
"""Bound on the names with a bucket; beyond it, those unused for the longest time are forgotten."""


class Buckets:
    """One bucket for each name; all are full at first. Used on the event loop only.

    Args:
        rate_per_s: tokens that flow into each bucket in a second.
        burst: tokens that fit into it.
        clock: seconds that only grow.
    """

    def __init__(
        self, rate_per_s: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, name: str) -> float:
        """Return the seconds until a bucket has a token, 0 if it has one."""
        return max(0.0, (1.0 - self._level(name)) / self._rate_per_s)

    def take(self, name: str) -> None:
        """Take a token from a bucket; an empty one stays empty."""
        level = max(0.0, self._level(name) - 1.0)
        self._levels[name] = level, self._clock()
        self._levels.move_to_end(name)
        while len(self._levels) > MAX_NAMES:
            self._levels.popitem(last=False)

    def _level(self, name: str) -> float:
        level, at = self._levels.get(name, (float(self._burst), 0.0))
        return min(self._burst, level + (self._clock() - at) * self._rate_per_s)
