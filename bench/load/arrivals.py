"""Schedules: when requests are meant to start, fixed before the first one is sent."""

import random
from collections.abc import Iterator
from typing import Literal

Arrivals = Literal["poisson", "fixed"]


def arrivals(kind: Arrivals, rate: float, seconds: float, seed: int = 0) -> Iterator[float]:
    """Seconds from the start, ascending, all before the end.

    Args:
        kind: independent arrivals, or one every 1 / rate seconds.
        rate: in one second, on average.
        seconds: how long.
        seed: of the independent ones; equal seeds give equal schedules.
    """
    if rate <= 0:
        raise ValueError("a rate is above 0")
    if kind == "fixed":
        yield from (i / rate for i in range(round(rate * seconds)))
        return
    rng = random.Random(seed)  # noqa: S311 - a schedule, not a secret
    at = rng.expovariate(rate)
    while at < seconds:
        yield at
        at += rng.expovariate(rate)
