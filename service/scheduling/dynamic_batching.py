"""Batching: what waits for a model is run together, fairly, and never waits for company.

    submit(key, item) --> one queue for each (channel, key) --fair share--> lane (thread)
                                                       batch of one channel --> run --> futures

A lane that is free takes what waits, up to the channel's `max_batch`, and nothing ever waits for
more to come: a lone item runs at once, and batches grow only when the lanes are busy.

Queues take turns by stride scheduling: each item taken from a queue moves its queue's turn by
1 / weight, and the queue with the lowest turn is next. A queue that was empty enters at the
current turn, so nobody saves up turns while idle, and a flood under one key delays the others by
its share only.
"""

import contextlib
import logging
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

logger = logging.getLogger("g2d.batching")

JOB = "job"
"""The key of work that nobody waits for at this moment."""

_WEIGHTS = {JOB: 0.25}
_NICE = 5
"""Of the lanes; the event loop has 0."""

I = TypeVar("I")  # noqa: E741 - item
R = TypeVar("R")

Run = Callable[[list[I]], list[R]]


@dataclass(frozen=True, eq=False)
class _Waiting:
    """One item in a queue."""

    item: Any
    deadline: Deadline
    future: "Future[Any]" = field(default_factory=Future)

    def dropped(self) -> str | None:
        """Why it is not worth running, if so; whoever waits is told."""
        if not self.future.set_running_or_notify_cancel():
            return "client_gone"
        try:
            self.deadline.check()
        except ServiceError as error:
            self.future.set_exception(error)
            return "client_gone" if isinstance(error, ClientGone) else "deadline"
        return None


class _Queue:
    """What waits under one key of one channel, and when it is its turn."""

    def __init__(self, channel: "BatchQueue[Any, Any]", key: str) -> None:
        self.channel = channel
        self.key = key
        self.turn = 0.0
        self.items: deque[_Waiting] = deque()
        self.stride = 1.0 / _WEIGHTS.get(key, 1.0)


class DynamicBatcher:
    """The lanes, and the queues that they serve.

    Args:
        lanes: batches that run at one time, each in a thread of its own.
        max_batch: the most items of one batch, or None to measure what is fastest.
        max_waiting: items in all queues; more are refused.
        observer: hears of queue lengths and of what was dropped.
    """

    def __init__(
        self,
        lanes: int,
        max_batch: int | None = None,
        max_waiting: int = 1024,
        observer: Observer = NULL_OBSERVER,
    ) -> None:
        self.observer = observer
        self._max_batch = max_batch
        self._measured: dict[str, int] = {}
        self._max_waiting = max_waiting
        self._queues: dict[tuple[BatchQueue[Any, Any], str], _Queue] = {}
        self._turn = 0.0
        self._count = 0
        self._closed = False
        self._changed = threading.Condition()
        self._lanes = lanes
        self._threads: list[threading.Thread] = []

    @property
    def waiting(self) -> int:
        """Items that no lane has taken yet."""
        return self._count

    def open(self, run: Run[I, R], max_batch: int) -> "BatchQueue[I, R]":
        """A way in for the items of one version.

        Args:
            run: answers a batch, one result for each item, in order. Called by several lanes
                at one time.
            max_batch: the most items of one call.
        """
        with self._changed:
            for number in range(len(self._threads), self._lanes):
                thread = threading.Thread(target=self._lane, name=f"lane-{number}", daemon=True)
                thread.start()
                self._threads.append(thread)
        return BatchQueue(self, run, max_batch)

    def max_batch(self, graph: str, run: Callable[[int], object]) -> int:
        """The batch size for a graph: what was set, or what is measured, once for each graph.

        Args:
            graph: its digest.
            run: runs a batch of so many images.
        """
        if self._max_batch is not None:
            return self._max_batch
        if graph not in self._measured:
            self._measured[graph] = measure_max_batch(run)
        return self._measured[graph]

    def close(self) -> None:
        """Run what waits, then end the lanes."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def submit(self, channel: "BatchQueue[I, R]", key: str, waiting: _Waiting) -> None:
        """Queue one item of a channel.

        Raises:
            Overloaded: too much waits, or the engine is closing.
        """
        with self._changed:
            if self._closed or channel.closed:
                raise Overloaded("this version is being replaced or the service ends")
            if self._count >= self._max_waiting:
                self.observer.shed("queue")
                raise Overloaded("too many radiographs wait for the model")
            queue = self._queues.setdefault((channel, key), _Queue(channel, key))
            if not queue.items:
                queue.turn = max(queue.turn, self._turn)
            queue.items.append(waiting)
            self._count += 1
            self.observer.queue(key, len(queue.items))
            self._changed.notify()

    def drain(self, channel: "BatchQueue[Any, Any]") -> None:
        """Return once nothing of a channel waits or runs; it was closed before."""
        with self._changed:
            self._changed.wait_for(lambda: not (channel.running or self._of(channel)))
            for queue in [queue for queue in self._queues.values() if queue.channel is channel]:
                del self._queues[queue.channel, queue.key]

    def _lane(self) -> None:
        """Take a batch, run it, until the engine is closed and nothing waits."""
        _yield_to_the_event_loop()
        while (taken := self._take()) is not None:
            channel, batch = taken
            if batch:
                _settle(channel.run, batch)
            with self._changed:
                channel.running -= 1
                self._changed.notify_all()

    def _take(self) -> tuple["BatchQueue[Any, Any]", list[_Waiting]] | None:
        """The next batch; it may be empty when all that waited was dropped. None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._count or self._closed)
            if not self._count:
                return None
            channel = self._next(self._queues.values()).channel
            channel.running += 1
            queues = self._of(channel)
            batch: list[_Waiting] = []
            while queues and len(batch) < channel.max_batch:
                queue = self._next(queues)
                waiting = queue.items.popleft()
                self._count -= 1
                self.observer.queue(queue.key, len(queue.items))
                if reason := waiting.dropped():
                    self.observer.dropped(reason)
                else:
                    self._turn = queue.turn
                    queue.turn += queue.stride
                    batch.append(waiting)
                queues = self._of(channel)
            return channel, batch

    def _next(self, queues: Iterable[_Queue]) -> _Queue:
        return min((queue for queue in queues if queue.items), key=lambda queue: queue.turn)

    def _of(self, channel: "BatchQueue[Any, Any]") -> list[_Queue]:
        """The queues of a channel in which something waits."""
        return [q for q in self._queues.values() if q.channel is channel and q.items]


class BatchQueue(Generic[I, R]):
    """The way of one version's items into the engine. Made by `Engine.open`."""

    def __init__(self, engine: DynamicBatcher, run: Run[I, R], max_batch: int) -> None:
        self.run = run
        self.max_batch = max_batch
        self.running = 0
        self.closed = False
        self._engine = engine

    def submit(self, key: str, item: I, deadline: Deadline) -> "Future[R]":
        """Queue one item; cancel the future, or abandon the deadline, and it is never run.

        The future's exceptions are those of `run`, DeadlineExceeded and ClientGone.

        Raises:
            Overloaded: too much waits, or the channel is closed.
        """
        waiting = _Waiting(item, deadline)
        self._engine.submit(self, key, waiting)
        return waiting.future

    def close(self) -> None:
        """Take nothing new; return when everything that was taken is answered."""
        self.closed = True
        self._engine.drain(self)


def _yield_to_the_event_loop() -> None:
    """Give this thread a lower priority, so that refusals and probes are answered at full load.

    On Linux a priority belongs to a thread; elsewhere it would be the whole process's.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def _settle(run: Run[Any, Any], batch: list[_Waiting]) -> None:
    """Run a batch and give each item its result. One that fails is run item by item."""
    try:
        results = _checked(run, batch)
    except Exception as error:  # noqa: BLE001 - raised again where the futures are awaited
        if len(batch) == 1:
            batch[0].future.set_exception(error)
            return
        for waiting in batch:
            _settle(run, [waiting])
        return
    for waiting, result in zip(batch, results, strict=True):
        waiting.future.set_result(result)


def _checked(run: Run[Any, Any], batch: list[_Waiting]) -> list[Any]:
    results = run([waiting.item for waiting in batch])
    if len(results) != len(batch):
        raise RuntimeError(f"{len(results)} results for {len(batch)} items")
    return results
