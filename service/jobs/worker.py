"""Runner: works on the items of jobs, one lease each, while the service answers others.

    claim -> read piece -> analyse -> encode -> succeed
       ^         |            |
       |         '-- mistake of the client, or tries used up --> fail
       '---------- overloaded, not ready, backend down ---------> retry, later each time

Several processes may run one on the same database. What this one holds is renewed while it
works and given back when it stops; what a lost one held is claimed anew when its lease ends.
"""

import asyncio
import functools
import hashlib
import logging
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from radiograph.errors import RadiographError
from service.errors import (
    BackendFailure,
    BackendUnavailable,
    DeadlineExceeded,
    Interrupted,
    JobsUnavailable,
    NotReady,
    Overloaded,
)
from service.jobs.job import Answer, Claim, Taken
from service.jobs.storage.spool import Spool
from service.jobs.storage.store import Store
from service.jobs.trade import Trade
from service.observability.observer import Observer

logger = logging.getLogger("g2d.jobs")

P = ParamSpec("P")
T = TypeVar("T")


_TRANSIENT = (
    BackendFailure,
    BackendUnavailable,
    DeadlineExceeded,
    JobsUnavailable,
    NotReady,
    Overloaded,
)
_LONGEST_WAIT_S = 60.0
_SWEEP_S = 60.0


class Threads:
    """Threads of the jobs' own, so that slow disks hold up nothing else."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="jobs")

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make a blocking call."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, functools.partial(call, *args, **kwargs))

    def close(self) -> None:
        """Wait for the calls that are under way."""
        self._pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class Pace:
    """How much is done at one time, and how patiently.

    Attributes:
        in_flight: items at one time.
        attempts: tries for each item.
        max_bytes: of one radiograph.
        poll_s: how often to look for what other processes accepted or lost.
        backoff_s: before the second try; doubled for each further one.
        stop_s: what an item that is under way gets to end when the service stops.
        stale_s: age at which a body that belongs to no job is a leftover.
    """

    in_flight: int
    attempts: int
    max_bytes: int
    stale_s: float
    poll_s: float = 1.0
    backoff_s: float = 1.0
    stop_s: float = 10.0


class Runner:
    """Works until it is stopped.

    Args:
        store, spool: where jobs and bodies are.
        trade: how an item is answered.
        pace: how much at one time.
        threads: for calls that block.
        observer: hears how it goes.
    """

    def __init__(
        self,
        store: Store,
        spool: Spool,
        trade: Trade,
        pace: Pace,
        threads: Threads,
        observer: Observer,
    ) -> None:
        self._store = store
        self._spool = spool
        self._trade = trade
        self._pace = pace
        self._threads = threads
        self._observer = observer
        self._held: set[Claim] = set()
        self._news = asyncio.Event()
        self._stopping = asyncio.Event()

    def wake(self) -> None:
        """There is something new to do."""
        self._news.set()

    async def run(self) -> None:
        """Work until `stop`, then let what is under way end, or give it back."""
        workers = [asyncio.create_task(self._worker()) for _ in range(self._pace.in_flight)]
        keepers = [asyncio.create_task(keep()) for keep in (self._renewing, self._sweeping)]
        try:
            await self._stopping.wait()
            await asyncio.wait(workers, timeout=self._pace.stop_s)
        finally:
            for task in (*workers, *keepers):
                task.cancel()
            await asyncio.gather(*workers, *keepers, return_exceptions=True)
            self._trade.rest()
            for claim in tuple(self._held):
                with suppress(RadiographError):
                    await self._threads.run(self._store.release, claim)

    def stop(self) -> None:
        """Claim nothing more."""
        self._stopping.set()
        self._news.set()

    async def _worker(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            try:
                claim = await self._threads.run(self._store.claim)
                if claim is not None:
                    await self._work(claim)
                    continue
            except Exception as error:  # noqa: BLE001 - the database may be back next time
                _log_unexpected(error)
            self._trade.rest()
            await _first(self._news, self._pace.poll_s)

    async def _work(self, claim: Claim) -> None:
        """Answer one item, well or not; a claim that could not be ended ends with its lease."""
        self._held.add(claim)
        started = time.perf_counter()
        try:
            outcome, taken = await self._answer(claim)
        except Exception:
            self._held.discard(claim)
            raise
        self._held.discard(claim)  # not when cancelled: then `run` gives it back
        self._observer.job_item(outcome, time.perf_counter() - started)
        if taken.job:
            await self._finished(claim.job)

    async def _answer(self, claim: Claim) -> tuple[str, Taken]:
        digest: str | None = None
        try:
            if claim.attempt > self._pace.attempts:
                raise Interrupted("the service ended each time it worked on this file")
            data = await self._threads.run(
                self._spool.read, claim.job, claim.piece, self._pace.max_bytes
            )
            digest = await self._threads.run(_digest, data)
            json, overlay = await self._trade.answer(data, claim.piece.media_type, claim.question)
        except Exception as error:  # noqa: BLE001 - one item's fault never stops the others
            return await self._failed(claim, error, digest)
        answer = Answer(digest, json, overlay)
        return "succeeded", await self._threads.run(self._store.succeed, claim, answer)

    async def _failed(
        self, claim: Claim, error: Exception, digest: str | None
    ) -> tuple[str, Taken]:
        ours = isinstance(error, _TRANSIENT) or not isinstance(error, RadiographError)
        if not isinstance(error, RadiographError):
            _log_unexpected(error)
        if ours and claim.attempt < self._pace.attempts:
            wait_s = min(self._pace.backoff_s * 2 ** (claim.attempt - 1), _LONGEST_WAIT_S)
            await self._threads.run(self._store.retry, claim, wait_s)
            return "retried", Taken(item=False)
        problem = self._trade.describe(error)
        return "failed", await self._threads.run(self._store.fail, claim, problem, digest)

    async def _finished(self, job: str) -> None:
        await self._threads.run(self._spool.remove, job)
        counts = (await self._threads.run(self._store.job, job)).counts
        self._observer.job("finished", counts.total)
        fields = {"job": short(job), "succeeded": counts.succeeded, "failed": counts.failed}
        logger.info("job finished", extra={"fields": fields})

    async def _renewing(self) -> None:
        while True:
            await asyncio.sleep(self._store.lease_s / 3)
            if self._held:
                with suppress(RadiographError):
                    await self._threads.run(self._store.renew, list(self._held))

    async def _sweeping(self) -> None:
        while True:
            try:
                await self._threads.run(self._sweep)
            except Exception as error:  # noqa: BLE001 - the next round may do better
                _log_unexpected(error)
            await asyncio.sleep(_SWEEP_S)

    def _sweep(self) -> None:
        """Forget jobs whose time is over, and bodies that belong to none."""
        for job in self._store.expired():
            self._spool.remove(job)
            if (items := self._store.delete(job)) is not None:
                self._observer.job("deleted", items)
        self._spool.sweep(self._pace.stale_s, self._store.is_open)


def short(job: str) -> str:
    """How the log names a job: its id lets whoever knows it read the answers."""
    return hashlib.sha256(job.encode()).hexdigest()[:12]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def _first(event: asyncio.Event, timeout_s: float) -> None:
    """Return when the event is set, or after a while."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


def _log_unexpected(error: Exception) -> None:
    """Where it happened and what kind, never its message: that may quote the input."""
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames][-8:]
    logger.error("%s in a job", type(error).__name__, extra={"fields": {"where": where}})
