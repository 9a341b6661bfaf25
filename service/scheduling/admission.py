"""Admission control: how many requests are in progress, and what each of them holds.

request --check--> body (memory counted) --acquire--> permit: decoding, model, encoding --> answer
   |  no permit, or a wait that is too long              |  client gone or deadline passed: queued
   v                                                     v  work of the request is cancelled
  503, Retry-After                                       the permit is released when no work runs

A request acquires its permit once its body has arrived, so that slow clients hold none; the bytes
that they have sent count against the memory for request bodies instead.

Clients take turns at the decoders. So the expected wait of a new request is the number of permits
that will have their turn before it, times the service's recent time per request: of each other
client at most one more than this client holds. Once all permits are held, a client with less than
its share may have one of a few more.
"""

import asyncio
import contextlib
import itertools
import math
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from service.deadline import Deadline
from service.errors import ClientGone, DeadlineExceeded, Overloaded
from service.host import available_cpus
from service.observability.observer import NULL_OBSERVER, Observer
from service.settings import BatchingSettings, LimitSettings

T = TypeVar("T")
R = TypeVar("R")

_REMEMBERED = 32
_MIN_THREADS, _MAX_THREADS = 2, 4


class ThroughputEstimate:
    """Recent time per request, measured between one completion and the next.

    Idle time does not count. The estimate holds whatever the bottleneck is.
    """

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)
        self._last_completion = 0.0

    def record(self, started: float, completed: float) -> None:
        """Take a completed request into account; both times are of one monotonic clock."""
        self._seconds.append(completed - max(started, self._last_completion))
        self._last_completion = completed

    @property
    def seconds_per_request(self) -> float:
        """Mean time of the service for one request; 0 before the first completion."""
        return sum(self._seconds) / len(self._seconds) if self._seconds else 0.0


class BodyMemory:
    """Share of one request body in the memory for request bodies."""

    def __init__(self, admission: "Admission") -> None:
        self._admission = admission
        self._held = 0

    def take(self, size: int) -> None:
        """Account for one chunk of the body.

        Raises:
            Overloaded: the bodies of all requests use too much memory.
        """
        self._admission.reserve_memory(size)
        self._held += size

    def free(self) -> None:
        """Return the share; the body is no longer needed."""
        self._admission.release_memory(self._held)
        self._held = 0


class Admission:
    """Bounded number of permits, and a pool of threads for short work off the event loop.

    Args:
        batching: bounds on permits and on the expected wait.
        limits: bound on the memory for request bodies.
        observer: is told of every request that is refused.
    """

    def __init__(
        self,
        batching: BatchingSettings,
        limits: LimitSettings,
        observer: Observer = NULL_OBSERVER,
    ) -> None:
        self._batching = batching
        self._observer = observer
        threads = max(_MIN_THREADS, min(_MAX_THREADS, available_cpus()))
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="answer")
        self._active = 0
        self._held: Counter[str] = Counter()
        self._bytes_left = limits.body_memory_bytes
        self.throughput = ThroughputEstimate()

    @property
    def active(self) -> int:
        """Number of requests that hold a permit."""
        return self._active

    def expected_wait_s(self, client: str = "") -> float:
        """Return the seconds that a new request of a client would wait for those in progress."""
        turns = self._held[client] + 1
        ahead = sum(min(held, turns) for other, held in self._held.items() if other != client)
        return (self._held[client] + ahead) * self.throughput.seconds_per_request

    def _permits(self, client: str) -> int:
        """Return the permits up to which a client may have one more."""
        permits = self._batching.permits
        share = max(1, permits // len({*self._held, client}))
        return permits + max(1, permits // 8) if self._held[client] < share else permits

    def check(self, deadline: Deadline, client: str = "") -> None:
        """Refuse a request before its body is read if it would be refused, or late, afterwards.

        Raises:
            Overloaded: all permits are held, or the expected wait is too long.
        """
        wait_s = self.expected_wait_s(client)
        if self._active >= self._permits(client):
            self._observer.shed("places")
            raise Overloaded("too many requests in progress; retry later", math.ceil(wait_s))
        allowed_s = min(self._batching.max_wait_s, deadline.left())
        if wait_s > allowed_s:
            self._observer.shed("queue")
            raise Overloaded(
                f"the answer would take about {wait_s:.1f} s, longer than allowed; retry later",
                math.ceil(wait_s - allowed_s),
            )

    @contextmanager
    def memory(self) -> Iterator[BodyMemory]:
        """Account for the memory of one body, returned at the end unless it was freed before."""
        memory = BodyMemory(self)
        try:
            yield memory
        finally:
            memory.free()

    def reserve_memory(self, size: int) -> None:
        """Take some of the memory for request bodies.

        Raises:
            Overloaded: not enough of it is left.
        """
        if size > self._bytes_left:
            self._observer.shed("memory")
            raise Overloaded("too much memory in use by request bodies; retry later")
        self._bytes_left -= size

    def release_memory(self, size: int) -> None:
        """Return some of the memory for request bodies."""
        self._bytes_left += size

    def acquire(
        self, deadline: Deadline, key: str, request_id: str = "", client: str = ""
    ) -> "Permit":
        """Acquire a permit; called on the event loop.

        Raises:
            Overloaded: all permits are held, or the expected wait is too long.
        """
        self.check(deadline, client)
        self._active += 1
        self._held[client] += 1
        return Permit(self, deadline, key, request_id, client)

    def uncounted_permit(self, deadline: Deadline, key: str, request_id: str = "") -> "Permit":
        """Return a permit beside the counted ones, for work that is bounded by its caller."""
        return Permit(self, deadline, key, request_id, client=key, counted=False)

    def close(self) -> None:
        """Wait for running calls and drop those that are queued."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Queue a short call for the thread pool."""
        return self._executor.submit(work)

    def release(self, client: str) -> None:
        """Release one counted permit of a client; called on the event loop."""
        self._active -= 1
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]


class Permit:
    """Right of one request to be worked on; a context manager.

    At its end, queued work of the request is cancelled. A counted permit is released only when no
    work of the request runs any more.

    Args:
        admission: issuer of the permit.
        deadline: deadline of the request.
        key: name of the queue share that the request belongs to.
        request_id: identifies the request to a remote runtime.
        client: whose turn at the decoders it takes.
        counted: whether the permit counts against the bound.
    """

    def __init__(
        self,
        admission: Admission,
        deadline: Deadline,
        key: str,
        request_id: str = "",
        client: str = "",
        *,
        counted: bool = True,
    ) -> None:
        self.deadline = deadline
        self.key = key
        self.client = client
        self.request_id = request_id
        self._admission = admission
        self._counted = counted
        self._started = time.perf_counter()
        self._work: list[Future[Any]] = []
        self._ended = False

    @property
    def alone(self) -> bool:
        """True while no other request holds a counted permit."""
        return self._admission.active <= self._counted

    def __enter__(self) -> "Permit":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.deadline.abandon()
        self._ended = True
        if kind is None:
            self._admission.throughput.record(self._started, time.perf_counter())
        # The callbacks of finished work refer to this permit. Without the list, they and the file
        # that they hold are freed at once, and not when the garbage collector next runs.
        ended, self._work = self._work, []
        running = [work for work in ended if not (work.cancel() or work.done())]
        if self._counted:
            _call_after(running, lambda: self._admission.release(self.client))

    def track(self, work: "Future[T]") -> "Future[T]":
        """Count a piece of work as this request's, so that it ends with the permit.

        Called from any thread, also after the end of the permit: the work is then cancelled.
        """
        self._work.append(work)  # first, so that either the end of the permit or this call sees it
        if self._ended:
            work.cancel()
        return work

    async def wait(self, work: "Future[T]") -> T:
        """Return the result of a piece of work of this request."""
        return await asyncio.wrap_future(self.track(work))

    async def run_in_thread(self, work: Callable[[], T]) -> T:
        """Run a short call in the thread pool."""
        return await self.wait(self.submit(work))

    def submit(self, work: Callable[[], T]) -> "Future[T]":
        """Queue a short call of this request for the thread pool."""
        return self.track(self._admission.submit(work))

    def then(self, work: "Future[T]", start: "Callable[[T], Future[R]]") -> "Future[R]":
        """Start a second piece of work of this request once a first one has ended.

        The second piece is started in the thread that ends the first one, so that a request moves
        on while the event loop is busy, and wakes the loop only for its answer.

        Args:
            work: the first piece of work, which is tracked already.
            start: starts the second piece with the result of the first one. Must not block.

        Returns:
            The result of the second piece, or the error of either. It counts as running until both
            have ended, so the permit is held until then. The second piece is not started if the
            request is over by then.
        """
        chain: Future[R] = Future()
        chain.set_running_or_notify_cancel()

        def ended(first: "Future[T]") -> None:
            try:
                result = first.result()
                self.deadline.check()
                second = self.track(start(result))
            except Exception as error:  # noqa: BLE001 - raised again where the chain is awaited
                chain.set_exception(error)
            else:
                second.add_done_callback(lambda second: _pass_on(second, chain))

        self.track(chain)
        work.add_done_callback(ended)
        return chain

    async def run_until_disconnect(
        self, work: Coroutine[Any, Any, T], disconnect: Callable[[], Awaitable[None]]
    ) -> T:
        """Do the work of this request until it ends, the client leaves or the deadline passes.

        Args:
            work: the whole work of the request.
            disconnect: returns when the client has closed the connection.

        Raises:
            ClientGone: the client has closed the connection.
            DeadlineExceeded: the work did not end in time.
        """
        working = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(disconnect())
        tasks: set[asyncio.Future[Any]] = {working, gone}
        try:
            await asyncio.wait(
                tasks, timeout=self.deadline.left(), return_when=asyncio.FIRST_COMPLETED
            )
            if working.done():
                return working.result()
            if gone.done():
                raise ClientGone("the client closed the connection")
            raise DeadlineExceeded("the deadline passed before the answer was ready")
        finally:
            self.deadline.abandon()
            for task in tasks:
                task.cancel()


def together(works: "Sequence[Future[T]]") -> "Future[list[T]]":
    """Return the results of several pieces of work in order, or the error of the last that failed.

    Args:
        works: pieces of work that are tracked already, at least one.
    """
    joined: Future[list[T]] = Future()
    left = itertools.count(len(works) - 1, -1)
    parts = list(works)

    def ended(_: "Future[T]") -> None:
        if next(left) == 0:
            try:
                joined.set_result([part.result() for part in parts])
            except Exception as error:  # noqa: BLE001 - raised again where the result is awaited
                joined.set_exception(error)
            parts.clear()  # each part refers to this function, and would keep itself alive

    for work in works:
        work.add_done_callback(ended)
    return joined


def _pass_on(source: "Future[T]", target: "Future[T]") -> None:
    """Settle a future as another one that has ended."""
    try:
        target.set_result(source.result())
    except Exception as error:  # noqa: BLE001 - raised again where the target is awaited
        target.set_exception(error)


def _call_after(running: list[Future[Any]], call: Callable[[], None]) -> None:
    """Call on the event loop once all running work has ended; at once if there is none."""
    if not running:
        call()
        return
    loop = asyncio.get_running_loop()
    first, *others = running

    def ended(_: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, so the count is not needed
            loop.call_soon_threadsafe(_call_after, others, call)

    first.add_done_callback(ended)
