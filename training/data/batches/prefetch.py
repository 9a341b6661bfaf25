"""Loading of batches ahead of the step that needs them.

    index (step, micro) -> worker threads: rows, tokens, tensors -> in order -> training loop

A batch depends on its index alone, never on the thread that loads it or on time. Workers are
threads: tokenising and copying release the interpreter lock, nothing is pickled and no process is
forked.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace
from itertools import islice
from typing import Any, TypeVar

from torch import Tensor

Key = TypeVar("Key")
Item = TypeVar("Item")


def read_ahead(
    load: Callable[[Key], Item], keys: Iterable[Key], workers: int, ahead: int
) -> Generator[Item, None, None]:
    """Yield `load` of each key, in order, while threads load the keys that follow.

    Args:
        load: a function of the key alone that several threads may call; it must not touch the
            global random generators.
        keys: what to load, such as the micro-batch indices of a run in the order of its steps.
        workers: number of threads; 0 calls `load` in this thread when an item is asked for.
        ahead: largest number of items that are being loaded or wait to be taken.

    Raises:
        Exception: any error of `load`, raised in place of the item that it belongs to.
    """
    if workers == 0:
        yield from map(load, keys)
        return
    waiting: deque[Future[Item]] = deque()
    coming = iter(keys)
    with ThreadPoolExecutor(workers, thread_name_prefix="batches") as pool:
        try:
            waiting.extend(pool.submit(load, key) for key in islice(coming, ahead))
            while waiting:
                item = waiting.popleft().result()
                waiting.extend(pool.submit(load, key) for key in islice(coming, 1))
                yield item
        finally:
            for future in waiting:
                future.cancel()


def each_tensor(batch: Item, change: Callable[[Tensor], Tensor]) -> Item:
    """Return a batch with a function applied to every tensor, such as a move to a device.

    Args:
        batch: tensors in dataclasses, lists, tuples and dictionaries; anything else is kept.
        change: function from tensor to tensor.
    """
    return _each(batch, change)  # type: ignore[no-any-return]


def _each(item: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(item, Tensor):
        return change(item)
    if is_dataclass(item) and not isinstance(item, type):
        return replace(item, **{f.name: _each(getattr(item, f.name), change) for f in fields(item)})
    if isinstance(item, list | tuple):
        return type(item)(_each(value, change) for value in item)
    if isinstance(item, dict):
        return {key: _each(value, change) for key, value in item.items()}
    return item
