"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def track(items: Iterable[Item], description: str, *, start: int = 0) -> Iterator[Item]:
    """Iterate over items, with a bar on a terminal or a line every half minute elsewhere.

    Args:
        items: items to iterate over.
        description: name of the work.
        start: number of items that were done before.
    """
    if sys.stderr.isatty():
        yield from tqdm(items, desc=description, initial=start)
        return
    total = len(items) + start if isinstance(items, Sized) else None
    last = time.monotonic()
    for number, item in enumerate(items, start + 1):
        yield item
        if time.monotonic() - last > 30:
            last = time.monotonic()
            print(f"{description}: {number}" + (f" of {total}" if total else ""), file=sys.stderr)
