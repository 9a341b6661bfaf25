"""Admission: a bounded number of requests inside, work off the event loop.

request --> body (memory counted) --enter--> place --run--> thread --> result
   |  no place or memory left: Overloaded       |  client gone, deadline: cancelled before
   v                                            v  it starts, or stopped at a checkpoint
  503                                        the place is free again when the thread is

A place is taken when the body is there, so that slow clients hold none; what they have sent
counts against the memory for bodies instead.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from service.errors import ClientGone, DeadlineExceeded, Overloaded

T = TypeVar("T")


class Deadline:
    """When a request is given up, and whether anybody still waits for it."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds
        self._gone = threading.Event()

    def left(self) -> float:
        """Seconds until it, at least 0."""
        return max(0.0, self._at - time.monotonic())

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._gone.set()

    def check(self) -> None:
        """The checkpoint between two stages of the work.

        Raises:
            ClientGone: nobody waits any more.
            DeadlineExceeded: too late.
        """
        if self._gone.is_set():
            raise ClientGone("nobody waits for the answer")
        if not self.left():
            raise DeadlineExceeded("the deadline passed before the answer was ready")


class Admission:
    """A pool of worker threads behind a bounded number of places.

    Args:
        workers: calls that run at one time.
        waiting: requests that may be inside beyond those.
        max_bytes: of bodies in memory at one time.
    """

    def __init__(self, workers: int, waiting: int, max_bytes: int) -> None:
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="analysis")
        self._places = workers + waiting
        self._taken = 0
        self._bytes_left = max_bytes

    @property
    def taken(self) -> int:
        """Requests inside."""
        return self._taken

    def check(self) -> None:
        """Refuse early what would be refused after its body was read.

        Raises:
            Overloaded: every place is taken.
        """
        if self._taken >= self._places:
            raise Overloaded("every place is taken")

    @contextmanager
    def memory(self) -> Iterator[Callable[[int], None]]:
        """Account for one body: call with the size of each chunk; given back at the end.

        Raises:
            Overloaded: by the call, when the bodies of all requests take too much memory.
        """
        held = 0

        def take(size: int) -> None:
            nonlocal held
            if size > self._bytes_left:
                raise Overloaded("the bodies of other requests fill the memory for them")
            held += size
            self._bytes_left -= size

        try:
            yield take
        finally:
            self._bytes_left += held

    def enter(self) -> "Place":
        """Take a place, on the event loop.

        Raises:
            Overloaded: every place is taken.
        """
        self.check()
        self._taken += 1
        return Place(self)

    def close(self) -> None:
        """Let running calls end and drop those that wait."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Queue a call for the worker threads."""
        return self._executor.submit(work)

    def release(self) -> None:
        """Give a place back, on the event loop."""
        self._taken -= 1


class Place:
    """One request inside. Use as a context manager; work that still runs keeps the place."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._work: Future[Any] | None = None

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        if self._work is None or self._work.done():
            self._admission.release()
        else:
            self._work.add_done_callback(lambda _: _call_soon(loop, self._admission.release))

    async def run(
        self, work: Callable[[], T], deadline: Deadline, disconnect: Callable[[], Awaitable[None]]
    ) -> T:
        """Run a call in a worker thread.

        Args:
            work: the call; it calls `deadline.check` now and then.
            deadline: when to give up.
            disconnect: returns when the client has gone.

        Raises:
            ClientGone: the client has gone.
            DeadlineExceeded: the call did not end in time.
        """
        future = self._admission.submit(work)
        self._work = future
        answer = asyncio.wrap_future(future)
        gone = asyncio.ensure_future(disconnect())
        try:
            either: set[asyncio.Future[Any]] = {answer, gone}
            await asyncio.wait(either, timeout=deadline.left(), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if gone.done():
                raise ClientGone("the client closed the connection")
            raise DeadlineExceeded("the deadline passed before the answer was ready")
        finally:
            deadline.abandon()
            future.cancel()  # out of the queue, when it has not started
            answer.cancel()
            gone.cancel()


def _call_soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Call on the event loop from any thread, unless the loop has ended."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(call)
