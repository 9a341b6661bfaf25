"""Queue in which clients take turns, so that one of them cannot hold every decoder.

put(client, job) --> one queue for each client
get() <-- the first job of the client with the fewest in progress; among equals, clients rotate
"""

import threading
from collections import Counter, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Jobs of clients, handed out in fair shares. Safe to use from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[str, deque[T]] = {}
        self._running: Counter[str] = Counter()
        self._closed = False

    def put(self, client: str, job: T) -> None:
        """Append a job to those of its client."""
        with self._changed:
            self._waiting.setdefault(client, deque()).append(job)
            self._changed.notify()

    def get(self) -> tuple[str, T] | None:
        """Wait for a job and return it with its client, for which `done` has to be called.

        Returns:
            None once the queue is closed and empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            # `min` keeps the first among equals, and a client goes to the end with every turn.
            client = min(self._waiting, key=lambda name: self._running[name])
            jobs = self._waiting.pop(client)
            job = jobs.popleft()
            if jobs:
                self._waiting[client] = jobs
            self._running[client] += 1
            return client, job

    def done(self, client: str) -> None:
        """Record that a job of a client is no longer in progress."""
        with self._changed:
            self._running[client] -= 1
            if not self._running[client]:
                del self._running[client]

    def close(self) -> None:
        """Let `get` return None once all jobs are handed out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
