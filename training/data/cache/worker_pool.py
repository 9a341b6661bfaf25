"""Processes that render chunks, and what happens when one of them dies.

A native decoder can end its process on a broken file. Then the chunks that were under way are
taken one by one, each in a process of its own, and within one that dies again the row is found
that does it. It is left out, and the rest goes on.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from training.data.cache.render import Chunk, render_chunk, render_row

_AHEAD = 2
"""Chunks for each process that are read before they are needed."""


def render_all(chunks: Iterator[Chunk], workers: int) -> Iterator[int]:
    """Render chunks as they come, and give the number of each that is done.

    Args:
        chunks: read no further ahead than the processes need.
        workers: processes; 0 renders in this one.
    """
    if workers == 0:
        for chunk in chunks:
            render_chunk(chunk)
            yield chunk.number
        return
    running = True
    while running:
        running = False
        under_way: dict[Future[None], Chunk] = {}
        with _pool(workers) as executor:
            try:
                yield from _keep_busy(executor, chunks, under_way, workers * _AHEAD)
            except BrokenProcessPool:
                running = True
            finally:
                executor.shutdown(cancel_futures=True)
        for chunk in under_way.values():
            render_alone(chunk)
            yield chunk.number


def _keep_busy(
    executor: ProcessPoolExecutor,
    chunks: Iterator[Chunk],
    under_way: dict[Future[None], Chunk],
    ahead: int,
) -> Iterator[int]:
    """Submit chunks and wait for them; what is under way stays in the dict when this ends."""
    for chunk in chunks:
        waiting: Future[None] = Future()
        under_way[waiting] = chunk  # not lost if the pool is broken by now
        submitted = executor.submit(render_chunk, chunk)
        del under_way[waiting]
        under_way[submitted] = chunk
        if len(under_way) >= ahead:
            yield from _finished(under_way)
    while under_way:
        yield from _finished(under_way)


def _finished(under_way: dict[Future[None], Chunk]) -> Iterator[int]:
    for future in wait(under_way, return_when=FIRST_COMPLETED).done:
        future.result()
        yield under_way.pop(future).number


def render_alone(chunk: Chunk, render: Callable[[Chunk, int], None] = render_row) -> None:
    """Render a chunk in a process of its own, without the rows that end it."""
    if _survives(render_chunk, chunk):
        return
    deadly = frozenset(i for i in range(len(chunk.rows)) if not _survives(render, chunk, i))
    with _pool(1) as executor:
        executor.submit(render_chunk, chunk, deadly).result()


def _survives(function: Callable[..., None], *arguments: object) -> bool:
    with _pool(1) as executor:
        try:
            executor.submit(function, *arguments).result()
        except BrokenProcessPool:
            return False
    return True


def _pool(workers: int) -> ProcessPoolExecutor:
    """Fresh processes: a fork would copy the locks of whatever threads this one has."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Do not outlive a parent that was killed: its workers would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
