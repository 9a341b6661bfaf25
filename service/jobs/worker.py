"""Job worker: answers the items of jobs, one lease each, beside the requests of the service.

    claim -> read piece -> predict -> succeed
       ^         |            |
       |         '-- fault of the client, or attempts used up --> fail
       '---------- overloaded, not ready, backend down ---------> retry, with growing delay

Several processes may run a worker on the same database. A worker renews its leases while it
works, and returns its items when it stops; items of a lost process are claimed again once their
leases end.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

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
from service.jobs.item_predictor import ItemPredictor
from service.jobs.job import Claim, Completion, ItemAnswer
from service.jobs.storage.spool import Spool
from service.jobs.storage.store import Store
from service.jobs.thread_pool import JobThreads
from service.observability.logs import where
from service.observability.observer import Observer
from service.settings import Settings

logger = logging.getLogger("g2d.jobs")

DescribeError = Callable[[RadiographError], Mapping[str, Any]]
"""Turns an error into the problem details that are stored and shown for an item."""

_TRANSIENT = (
    BackendFailure,
    BackendUnavailable,
    DeadlineExceeded,
    JobsUnavailable,
    NotReady,
    Overloaded,
)
_MAX_BACKOFF_S = 60.0
_SWEEP_INTERVAL_S = 60.0
_ORPHAN_AGE_S = 3600.0
"""Age beyond the longest upload at which a body without a job is removed."""


@dataclass(frozen=True)
class WorkerTiming:
    """Waiting times of a worker.

    Attributes:
        poll_s: interval at which the store is polled for items of other processes.
        backoff_s: delay before the second attempt; doubled for each further one.
        stop_s: time that running items are given to finish when the service stops.
    """

    poll_s: float = 1.0
    backoff_s: float = 1.0
    stop_s: float = 10.0


class JobWorker:
    """Answers items until it is stopped.

    Args:
        store: jobs and their items.
        spool: bodies of the jobs.
        predictor: answers one item.
        describe_error: turns the error of an item into problem details.
        settings: how many items run at the same time, attempts, and size limits.
        threads: threads for blocking calls.
        observer: receives the outcome of items and jobs.
        timing: waiting times.
    """

    def __init__(
        self,
        store: Store,
        spool: Spool,
        predictor: ItemPredictor,
        describe_error: DescribeError,
        settings: Settings,
        threads: JobThreads,
        observer: Observer,
        timing: WorkerTiming = WorkerTiming(),
    ) -> None:
        self._store = store
        self._spool = spool
        self._predictor = predictor
        self._describe_error = describe_error
        self._settings = settings.jobs
        self._max_file_bytes = settings.limits.max_body_bytes
        self._threads = threads
        self._observer = observer
        self._timing = timing
        self._claims: set[Claim] = set()
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()

    def wake(self) -> None:
        """Look for items now instead of at the next poll."""
        self._woken.set()

    async def run(self) -> None:
        """Work until `stop`, then let running items finish, or return them to the store."""
        loops = [asyncio.create_task(self._work()) for _ in range(self._settings.in_flight)]
        background = [
            asyncio.create_task(self._renew_leases()),
            asyncio.create_task(self._sweep_regularly()),
        ]
        try:
            await self._stopping.wait()
            await asyncio.wait(loops, timeout=self._timing.stop_s)
        finally:
            for task in (*loops, *background):
                task.cancel()
            await asyncio.gather(*loops, *background, return_exceptions=True)
            self._predictor.release_idle()
            for claim in tuple(self._claims):
                with suppress(RadiographError):
                    await self._threads.run(self._store.release, claim)

    def stop(self) -> None:
        """Claim no further items."""
        self._stopping.set()
        self._woken.set()

    async def _work(self) -> None:
        """Claim and answer one item after another."""
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                claim = await self._threads.run(self._store.claim)
                if claim is not None:
                    await self._process(claim)
                    continue
            except Exception as error:  # noqa: BLE001 - the database may be back at the next poll
                _log_unexpected(error)
            self._predictor.release_idle()
            await _wait(self._woken, self._timing.poll_s)

    async def _process(self, claim: Claim) -> None:
        """Answer one item, or store its error; a claim that cannot be completed times out."""
        self._claims.add(claim)
        started = time.perf_counter()
        try:
            outcome, completion = await self._attempt(claim)
        except Exception:
            self._claims.discard(claim)
            raise
        self._claims.discard(claim)  # kept when cancelled, so that `run` returns the item
        self._observer.job_item(outcome, time.perf_counter() - started)
        if completion.job:
            await self._finish_job(claim.job)

    async def _attempt(self, claim: Claim) -> tuple[str, Completion]:
        """Return the outcome of one attempt, as metrics name it, and its effect on the store."""
        digest: str | None = None
        try:
            if claim.attempt > self._settings.attempts:
                raise Interrupted("the service stopped during every attempt on this file")
            data = await self._threads.run(
                self._spool.read, claim.job, claim.piece, self._max_file_bytes
            )
            digest = await self._threads.run(_sha256, data)
            prediction = await self._predictor.predict(data, claim.piece.media_type, claim.query)
        except Exception as error:  # noqa: BLE001 - the error of one item must not stop the others
            return await self._fail_or_retry(claim, error, digest)
        answer = ItemAnswer(digest, prediction.data, prediction.overlay)
        return "succeeded", await self._threads.run(self._store.succeed, claim, answer)

    async def _fail_or_retry(
        self, claim: Claim, error: Exception, digest: str | None
    ) -> tuple[str, Completion]:
        """Return an item to the store while attempts are left, unless the client is at fault."""
        expected = isinstance(error, RadiographError)
        if not expected:
            _log_unexpected(error)
        if (isinstance(error, _TRANSIENT) or not expected) and (
            claim.attempt < self._settings.attempts
        ):
            delay_s = min(self._timing.backoff_s * 2 ** (claim.attempt - 1), _MAX_BACKOFF_S)
            await self._threads.run(self._store.retry, claim, delay_s)
            return "retried", Completion(item=False)
        # An unexpected error may quote the input, so that only its being one is stored.
        known = error if isinstance(error, RadiographError) else RadiographError()
        problem = self._describe_error(known)
        return "failed", await self._threads.run(self._store.fail, claim, problem, digest)

    async def _finish_job(self, job: str) -> None:
        await self._threads.run(self._spool.remove, job)
        counts = (await self._threads.run(self._store.job, job)).counts
        self._observer.job("finished", counts.total)
        fields = {"job": log_name(job), "succeeded": counts.succeeded, "failed": counts.failed}
        logger.info("job finished", extra={"fields": fields})

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(self._store.lease_s / 3)
            if self._claims:
                with suppress(RadiographError):
                    await self._threads.run(self._store.renew, list(self._claims))

    async def _sweep_regularly(self) -> None:
        while True:
            try:
                await self._threads.run(self._sweep)
            except Exception as error:  # noqa: BLE001 - the next sweep may succeed
                _log_unexpected(error)
            await asyncio.sleep(_SWEEP_INTERVAL_S)

    def _sweep(self) -> None:
        """Remove expired jobs, and bodies that belong to no job."""
        for job in self._store.expired():
            self._spool.remove(job)
            if (items := self._store.delete(job)) is not None:
                self._observer.job("deleted", items)
        self._spool.sweep(self._settings.body_timeout_s + _ORPHAN_AGE_S, self._store.is_open)


def log_name(job: str) -> str:
    """Return the name of a job in the log: its identifier would let readers fetch the answers."""
    return hashlib.sha256(job.encode()).hexdigest()[:12]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    """Return when the event is set, or after `timeout_s` seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


def _log_unexpected(error: Exception) -> None:
    """Log the type and the place of an error, never its message: that may quote the input."""
    places = where(error)[-8:]
    logger.error("%s in a job", type(error).__name__, extra={"fields": {"where": places}})
