"""Progress bars on long work; plain lines where the output is not a terminal."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def track(items: Iterable[Item], what: str, *, start: int = 0) -> Iterator[Item]:
    """Iterate with a bar on a terminal, or a line every half minute elsewhere."""
    if sys.stderr.isatty():
        yield from tqdm(items, desc=what, initial=start)
        return
    total = len(items) + start if isinstance(items, Sized) else None
    last = time.monotonic()
    for number, item in enumerate(items, start + 1):
        yield item
        if time.monotonic() - last > 30:
            last = time.monotonic()
            print(f"{what}: {number}" + (f" of {total}" if total else ""), file=sys.stderr)
