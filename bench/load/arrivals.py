"""Arrival schedules: intended start times, fixed before the first request is sent."""

import random
from collections.abc import Iterator
from typing import Literal

Arrivals = Literal["poisson", "fixed"]


def arrivals(kind: Arrivals, rate: float, seconds: float, seed: int = 0) -> Iterator[float]:
    """Yield start times in seconds from the start of the run, ascending.

    Args:
        kind: independent (Poisson) arrivals, or one every 1 / rate seconds.
        rate: requests per second, on average.
        seconds: length of the schedule.
        seed: seed of the independent arrivals; equal seeds give equal schedules.

    Raises:
        ValueError: the rate is not positive.
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
