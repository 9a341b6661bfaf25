"""Admission: who is let in, how many at a time, and what a request that is inside holds.

request --check--> body (memory counted) --enter--> place: decoding, model, encoding --> answer
   |  no place, or a wait that is too long             |  client gone, deadline: everything of
   v                                                   v  it that waits is cancelled
  503, Retry-After                                    the place is free when nothing runs for it

A place is taken when the body is there, so that slow clients hold none; what they have sent
counts against the memory for bodies instead. How long a newcomer would wait is the number of
requests inside, times the seconds that each has lately taken of the whole service's time.
"""

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from service.deadline import Deadline
from service.errors import ClientGone, DeadlineExceeded, Overloaded
from service.observability.observer import NULL_OBSERVER, Observer

__all__ = ["Admission", "AdmissionLimits", "BodyMemory", "Deadline", "Permit", "ThroughputEstimate"]

T = TypeVar("T")

_REMEMBERED = 32


@dataclass(frozen=True)
class AdmissionLimits:
    """How much is let in.

    Attributes:
        places: requests inside at one time.
        max_bytes: of bodies in memory at one time.
        max_wait_s: a request that would wait longer is refused.
        threads: for short work off the event loop, such as encoding.
    """

    places: int
    max_bytes: int
    max_wait_s: float = 10.0
    threads: int = 2


class ThroughputEstimate:
    """How fast requests are done, by the time between one leaving and the next.

    The time in which nobody was inside does not count, and whatever the bottleneck is, it shows.
    """

    def __init__(self) -> None:
        self._each_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._last = 0.0

    def done(self, entered: float, now: float) -> None:
        """A request that came in at `entered` is answered."""
        self._each_s.append(now - max(entered, self._last))
        self._last = now

    @property
    def seconds_each(self) -> float:
        """Of the service's time for one request; 0 before the first."""
        return sum(self._each_s) / len(self._each_s) if self._each_s else 0.0


class BodyMemory:
    """The share of one body in the memory for bodies."""

    def __init__(self, admission: "Admission") -> None:
        self._admission = admission
        self._held = 0

    def take(self, size: int) -> None:
        """Account for one chunk.

        Raises:
            Overloaded: the bodies of all requests take too much memory.
        """
        self._admission.hold(size)
        self._held += size

    def free(self) -> None:
        """The body is not needed any more."""
        self._admission.hold(-self._held)
        self._held = 0


class Admission:
    """A bounded number of places, and a pool of threads for short work."""

    def __init__(self, limits: AdmissionLimits, observer: Observer = NULL_OBSERVER) -> None:
        self._limits = limits
        self._observer = observer
        self._executor = ThreadPoolExecutor(limits.threads, thread_name_prefix="answer")
        self._taken = 0
        self._bytes_left = limits.max_bytes
        self.pace = ThroughputEstimate()

    @property
    def taken(self) -> int:
        """Requests inside."""
        return self._taken

    @property
    def wait_s(self) -> float:
        """How long a newcomer would wait for those that are inside."""
        return self._taken * self.pace.seconds_each

    def check(self, deadline: Deadline) -> None:
        """Refuse early what would be refused, or come too late, after its body was read.

        Raises:
            Overloaded: every place is taken, or the wait would be too long.
        """
        wait_s = self.wait_s
        if self._taken >= self._limits.places:
            self._observer.shed("places")
            raise Overloaded("every place is taken", math.ceil(wait_s))
        allowed_s = min(self._limits.max_wait_s, deadline.left())
        if wait_s > allowed_s:
            self._observer.shed("queue")
            raise Overloaded(
                f"the answer would take about {wait_s:.1f} s, more than is allowed",
                math.ceil(wait_s - allowed_s),
            )

    @contextmanager
    def memory(self) -> Iterator[BodyMemory]:
        """Account for one body; given back at the end, unless it was before."""
        memory = BodyMemory(self)
        try:
            yield memory
        finally:
            memory.free()

    def hold(self, size: int) -> None:
        """Take memory for bodies, or give it back.

        Raises:
            Overloaded: there is not so much left.
        """
        if size > self._bytes_left:
            self._observer.shed("memory")
            raise Overloaded("the bodies of other requests fill the memory for them")
        self._bytes_left -= size

    def enter(self, deadline: Deadline, key: str, request_id: str = "") -> "Permit":
        """Take a place, on the event loop.

        Raises:
            Overloaded: every place is taken, or the wait would be too long.
        """
        self.check(deadline)
        self._taken += 1
        return Permit(self, deadline, key, request_id)

    def aside(self, deadline: Deadline, key: str, request_id: str = "") -> "Permit":
        """A place beside those that are counted, for work that is bounded elsewhere."""
        return Permit(self, deadline, key, request_id, counted=False)

    def close(self) -> None:
        """Let running calls end and drop those that wait."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Queue a short call for the threads."""
        return self._executor.submit(work)

    def release(self) -> None:
        """Give a place back, on the event loop."""
        self._taken -= 1


class Permit:
    """One request inside. Use as a context manager; work that still runs keeps the place.

    Args:
        admission: where the place is.
        deadline: of the request.
        key: which share of the engine it takes.
        request_id: names it to a runtime elsewhere.
        counted: whether it counts against the places.
    """

    def __init__(
        self,
        admission: Admission,
        deadline: Deadline,
        key: str,
        request_id: str = "",
        *,
        counted: bool = True,
    ) -> None:
        self.deadline = deadline
        self.key = key
        self.request_id = request_id
        self._admission = admission
        self._counted = counted
        self._entered = time.perf_counter()
        self._work: list[Future[Any]] = []

    @property
    def alone(self) -> bool:
        """Whether no other request is inside at this moment."""
        return self._admission.taken <= self._counted

    def __enter__(self) -> "Permit":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.deadline.abandon()
        if kind is None:
            self._admission.pace.done(self._entered, time.perf_counter())
        running = [work for work in self._work if not (work.cancel() or work.done())]
        if self._counted:
            _after(running, self._admission.release)

    def follow(self, work: "Future[T]") -> "Future[T]":
        """Count a piece of work as this request's: cancelled, or waited for, when it ends."""
        self._work.append(work)
        return work

    async def wait(self, work: "Future[T]") -> T:
        """The result of a piece of work of this request."""
        return await asyncio.wrap_future(self.follow(work))

    async def call(self, work: Callable[[], T]) -> T:
        """Run a short call in a thread."""
        return await self.wait(self._admission.submit(work))

    async def within(
        self, work: Coroutine[Any, Any, T], disconnect: Callable[[], Awaitable[None]]
    ) -> T:
        """Do the work of this request, as long as somebody waits for it.

        Args:
            work: all of it.
            disconnect: returns when the client has gone.

        Raises:
            ClientGone: the client has gone.
            DeadlineExceeded: the work did not end in time.
        """
        doing = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(disconnect())
        either: set[asyncio.Future[Any]] = {doing, gone}
        try:
            await asyncio.wait(
                either, timeout=self.deadline.left(), return_when=asyncio.FIRST_COMPLETED
            )
            if doing.done():
                return doing.result()
            if gone.done():
                raise ClientGone("the client closed the connection")
            raise DeadlineExceeded("the deadline passed before the answer was ready")
        finally:
            self.deadline.abandon()
            for task in either:
                task.cancel()


def _after(running: list[Future[Any]], call: Callable[[], None]) -> None:
    """Call on the event loop once everything that runs has ended; at once if nothing does."""
    if not running:
        call()
        return
    loop = asyncio.get_running_loop()
    first, *others = running

    def ended(_: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the count with it
            loop.call_soon_threadsafe(_after, others, call)

    first.add_done_callback(ended)
