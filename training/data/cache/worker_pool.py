"""Pool of processes that render chunks and survive the death of a process.

A native decoder can end its process on a broken file. The chunks that were in progress are then
rendered again, each in a process of its own; in a chunk that ends its process again, the offending
rows are found one by one and left out.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from training.data.cache.chunks import Chunk, render_chunk, render_row

_AHEAD = 2
"""Number of chunks for each process that are submitted at a time."""


def render_all(chunks: Iterator[Chunk], workers: int) -> Iterator[int]:
    """Render chunks and yield the number of each one that is done.

    Args:
        chunks: chunks, taken only as fast as the processes need them.
        workers: number of processes; 0 renders in this one.
    """
    if workers == 0:
        for chunk in chunks:
            render_chunk(chunk)
            yield chunk.number
        return
    running = True
    while running:
        running = False
        in_progress: dict[Future[None], Chunk] = {}
        with _pool(workers) as executor:
            try:
                yield from _keep_busy(executor, chunks, in_progress, workers * _AHEAD)
            except BrokenProcessPool:
                running = True
            finally:
                executor.shutdown(cancel_futures=True)
        for chunk in in_progress.values():
            render_alone(chunk)
            yield chunk.number


def _keep_busy(
    executor: ProcessPoolExecutor,
    chunks: Iterator[Chunk],
    in_progress: dict[Future[None], Chunk],
    ahead: int,
) -> Iterator[int]:
    """Submit chunks and wait for them; on an error, `in_progress` holds the unfinished ones."""
    for chunk in chunks:
        waiting: Future[None] = Future()
        in_progress[waiting] = chunk  # recorded before `submit`, which fails if the pool is broken
        submitted = executor.submit(render_chunk, chunk)
        del in_progress[waiting]
        in_progress[submitted] = chunk
        if len(in_progress) >= ahead:
            yield from _finished(in_progress)
    while in_progress:
        yield from _finished(in_progress)


def _finished(in_progress: dict[Future[None], Chunk]) -> Iterator[int]:
    for future in wait(in_progress, return_when=FIRST_COMPLETED).done:
        future.result()
        yield in_progress.pop(future).number


def render_alone(chunk: Chunk, render: Callable[[Chunk, int], None] = render_row) -> None:
    """Render a chunk in a process of its own, leaving out the rows that end it."""
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
    """Return a pool of spawned processes; a fork would copy locks held by other threads."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """End this process with its parent; it would otherwise wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
