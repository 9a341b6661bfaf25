"""Dynamic batching: items that wait for the same model run together, in fair turns.

    BatchQueue.submit(key, item) --> one queue for each (batch queue, key)
        --fair share--> batch worker (thread) --> batch of one batch queue --> run --> futures

A free batch worker takes the items that wait at that moment, up to the `max_batch` of their batch
queue, and never waits for more: a single item runs at once, and batches grow only while all
workers are busy.

Queues take turns by stride scheduling: each item taken from a queue moves the turn of that queue
by 1 / weight, and the queue with the lowest turn is next. A queue that was empty starts at the
current turn, so an idle queue saves no turns, and a flood under one key delays the others by its
own share only.
"""

import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from service.deadline import Deadline
from service.errors import ClientGone, Overloaded, ServiceError
from service.observability.observer import NULL_OBSERVER, Observer
from service.scheduling.batch_size_tuning import measure_max_batch
from service.settings import BatchingSettings

JOB = "job"
"""Key of background work, for which no client waits."""

_WEIGHTS = {JOB: 0.25}
_NICENESS = 5
"""Niceness of the batch workers; the event loop keeps 0."""

I = TypeVar("I")  # noqa: E741 - item
R = TypeVar("R")

Run = Callable[[list[I]], list[R]]


@dataclass(frozen=True, eq=False)
class _QueuedItem:
    """One item that waits for its batch."""

    item: Any
    deadline: Deadline
    future: "Future[Any]" = field(default_factory=Future)

    def drop_reason(self) -> str | None:
        """Return why the item is no longer worth running, if so; its future then has the error."""
        if not self.future.set_running_or_notify_cancel():
            return "client_gone"
        try:
            self.deadline.check()
        except ServiceError as error:
            self.future.set_exception(error)
            return "client_gone" if isinstance(error, ClientGone) else "deadline"
        return None


class _KeyQueue:
    """Items that wait under one key of one batch queue, and their place in the turns."""

    def __init__(self, queue: "BatchQueue[Any, Any]", key: str) -> None:
        self.queue = queue
        self.key = key
        self.turn = 0.0
        self.items: deque[_QueuedItem] = deque()
        self.stride = 1.0 / _WEIGHTS.get(key, 1.0)


class DynamicBatcher:
    """Batch workers, and the queues that they take items from.

    Args:
        settings: number of batch workers, and the largest batch or `auto`.
        observer: is told of queue lengths and of dropped items.
        max_waiting: items in all queues; further items are refused.
    """

    def __init__(
        self,
        settings: BatchingSettings,
        observer: Observer = NULL_OBSERVER,
        max_waiting: int = 1024,
    ) -> None:
        self.observer = observer
        self._settings = settings
        self._measured: dict[str, int] = {}
        self._max_waiting = max_waiting
        self._key_queues: dict[tuple[BatchQueue[Any, Any], str], _KeyQueue] = {}
        self._turn = 0.0
        self._count = 0
        self._closed = False
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []

    @property
    def waiting(self) -> int:
        """Number of items that no worker has taken yet."""
        return self._count

    def open_queue(self, run: Run[I, R], max_batch: int) -> "BatchQueue[I, R]":
        """Return a queue for the items of one version.

        Args:
            run: computes a batch, one result for each item, in order. Called by several batch
                workers at the same time.
            max_batch: the most items of one call.
        """
        with self._changed:
            for number in range(len(self._threads), self._settings.workers):
                name = f"batch-worker-{number}"
                thread = threading.Thread(target=self._work, name=name, daemon=True)
                thread.start()
                self._threads.append(thread)
        return BatchQueue(self, run, max_batch)

    def max_batch(self, graph: str, run: Callable[[int], object]) -> int:
        """Return the batch size for a graph: as set, or measured once for each graph.

        Args:
            graph: digest of the graph.
            run: runs a batch of the given number of images.
        """
        if self._settings.max_batch != "auto":
            return self._settings.max_batch
        if graph not in self._measured:
            self._measured[graph] = measure_max_batch(run)
        return self._measured[graph]

    def close(self) -> None:
        """Run the waiting items, then end the batch workers."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def submit(self, queue: "BatchQueue[I, R]", key: str, item: _QueuedItem) -> None:
        """Add one item to a batch queue.

        Raises:
            Overloaded: too many items wait, or the batcher or the queue is closing.
        """
        with self._changed:
            if self._closed or queue.closed:
                raise Overloaded("the model version is being replaced or the service is stopping")
            if self._count >= self._max_waiting:
                self.observer.shed("queue")
                raise Overloaded("too many radiographs are waiting for the model; retry later")
            key_queue = self._key_queues.setdefault((queue, key), _KeyQueue(queue, key))
            if not key_queue.items:
                key_queue.turn = max(key_queue.turn, self._turn)
            key_queue.items.append(item)
            self._count += 1
            self.observer.queue(key, len(key_queue.items))
            self._changed.notify()

    def drain(self, queue: "BatchQueue[Any, Any]") -> None:
        """Return once no item of a closed batch queue waits or runs."""
        with self._changed:
            self._changed.wait_for(lambda: not (queue.running or self._filled(queue)))
            for key_queue in [q for q in self._key_queues.values() if q.queue is queue]:
                del self._key_queues[queue, key_queue.key]

    def _work(self) -> None:
        """Take and run batches until the batcher is closed and no item waits."""
        _lower_thread_priority()
        while (taken := self._take()) is not None:
            queue, batch = taken
            if batch:
                _resolve(queue.run, batch)
            with self._changed:
                queue.running -= 1
                self._changed.notify_all()

    def _take(self) -> tuple["BatchQueue[Any, Any]", list[_QueuedItem]] | None:
        """Return the next batch, or None at the end; empty if every waiting item was dropped."""
        with self._changed:
            self._changed.wait_for(lambda: self._count or self._closed)
            if not self._count:
                return None
            queue = self._next(self._key_queues.values()).queue
            queue.running += 1
            filled = self._filled(queue)
            batch: list[_QueuedItem] = []
            while filled and len(batch) < queue.max_batch:
                key_queue = self._next(filled)
                item = key_queue.items.popleft()
                self._count -= 1
                self.observer.queue(key_queue.key, len(key_queue.items))
                if reason := item.drop_reason():
                    self.observer.dropped(reason)
                else:
                    self._turn = key_queue.turn
                    key_queue.turn += key_queue.stride
                    batch.append(item)
                filled = self._filled(queue)
            return queue, batch

    def _next(self, key_queues: Iterable[_KeyQueue]) -> _KeyQueue:
        return min((q for q in key_queues if q.items), key=lambda q: q.turn)

    def _filled(self, queue: "BatchQueue[Any, Any]") -> list[_KeyQueue]:
        """Return the queues of a batch queue in which items wait, one for each key."""
        return [q for q in self._key_queues.values() if q.queue is queue and q.items]


class BatchQueue(Generic[I, R]):
    """Queue of one version's items; made by `DynamicBatcher.open_queue`."""

    def __init__(self, batcher: DynamicBatcher, run: Run[I, R], max_batch: int) -> None:
        self.run = run
        self.max_batch = max_batch
        self.running = 0
        self.closed = False
        self._batcher = batcher

    def submit(self, key: str, item: I, deadline: Deadline) -> "Future[R]":
        """Queue one item, which never runs if its future is cancelled or its deadline abandoned.

        The future's exceptions are those of `run`, DeadlineExceeded and ClientGone.

        Raises:
            Overloaded: too many items wait, or the queue is closed.
        """
        queued = _QueuedItem(item, deadline)
        self._batcher.submit(self, key, queued)
        return queued.future

    def close(self) -> None:
        """Refuse new items, and return once every accepted item has its result."""
        self.closed = True
        self._batcher.drain(self)


def _lower_thread_priority() -> None:
    """Lower the priority of this thread, so that the event loop responds even at full load.

    On Linux a priority belongs to a thread; on other systems it would apply to the whole process.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.nice(_NICENESS)


def _resolve(run: Run[Any, Any], batch: list[_QueuedItem]) -> None:
    """Run a batch and give each item its result; the items of a failed batch run one by one."""
    try:
        results = _results(run, batch)
    except Exception as error:  # noqa: BLE001 - raised again where the futures are awaited
        if len(batch) == 1:
            batch[0].future.set_exception(error)
            return
        for queued in batch:
            _resolve(run, [queued])
        return
    for queued, result in zip(batch, results, strict=True):
        queued.future.set_result(result)


def _results(run: Run[Any, Any], batch: list[_QueuedItem]) -> list[Any]:
    results = run([queued.item for queued in batch])
    if len(results) != len(batch):
        raise RuntimeError(f"{len(results)} results for {len(batch)} items")
    return results
