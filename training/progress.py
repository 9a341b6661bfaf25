"""Progress of long work: a bar on a terminal, plain lines with the time left elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
_FIRST_S, _LONGEST_S = 30.0, 600.0
"""Seconds until the first line, and the longest time between two lines."""


def track(items: Iterable[Item], description: str, *, start: int = 0) -> Iterator[Item]:
    """Iterate over items, with a bar on a terminal or lines with the time left elsewhere.

    Lines come after half a minute and then each time the work has gone on for a twentieth longer,
    every ten minutes at the latest.

    Args:
        items: items to iterate over.
        description: name of the work.
        start: number of items that were done before.
    """
    if sys.stderr.isatty():
        yield from tqdm(items, desc=description, initial=start)
        return
    total = len(items) + start if isinstance(items, Sized) else None
    began = last = time.monotonic()
    for number, item in enumerate(items, start + 1):
        yield item
        now = time.monotonic()
        pause = min(max(_FIRST_S, (now - began) / 20), _LONGEST_S)
        if now - last < pause or number == total:
            continue
        last = now
        line = f"{description}: {number}"
        if total:
            left = (now - began) / (number - start) * (total - number)
            line += f" of {total}, {_duration(left)} left"
        print(line, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    """Return a duration in words, in minutes from a minute and a half on."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
