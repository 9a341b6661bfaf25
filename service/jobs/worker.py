"""Job worker: answers the items of jobs, one lease each, beside the requests of the service.

    claim -> read or fetch -> predict -> succeed
       ^         |            |
       |         '-- fault of the client, or attempts used up --> fail
       '---- overloaded, not ready, backend or decoder lost ----> retry, with growing delay

Several processes may run a worker on the same database. A worker renews its leases while it
works, and returns its items when it stops; items of a lost process are claimed again once their
leases end. An answer that cannot be stored is kept, and stored later.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from radiograph.errors import RadiographError
from service.audit.auditor import Auditor
from service.audit.chain.entry import Act, Entry
from service.auth.principal import NOBODY
from service.errors import (
    ArchiveUnavailable,
    AuditUnavailable,
    BackendFailure,
    BackendUnavailable,
    DeadlineExceeded,
    DecodersLost,
    Interrupted,
    JobsUnavailable,
    NotReady,
    Overloaded,
    StorageFull,
)
from service.jobs.clock_watch import ClockWatch
from service.jobs.item_predictor import ItemPredictor
from service.jobs.item_source import ItemSource
from service.jobs.job import Claim, Completion, ItemAnswer
from service.jobs.storage.spool import Spool
from service.jobs.storage.store import MAX_DELAY_S, Store
from service.jobs.thread_pool import JobThreads
from service.observability.logs import where
from service.observability.observer import Observer
from service.settings import Settings

if TYPE_CHECKING:
    from service.dicomweb.archives import Archives

logger = logging.getLogger("g2d.jobs")

P = ParamSpec("P")
T = TypeVar("T")

DescribeError = Callable[[RadiographError], Mapping[str, Any]]
"""Turns an error into the problem details that are stored and shown for an item."""

_TRANSIENT = (
    ArchiveUnavailable,
    AuditUnavailable,
    BackendFailure,
    BackendUnavailable,
    DeadlineExceeded,
    DecodersLost,
    JobsUnavailable,
    NotReady,
    Overloaded,
)
_SWEEP_INTERVAL_S = 60.0
_ORPHAN_AGE_S = 3600.0
"""Age beyond the longest upload at which a body without a job is removed."""
_SETTLED_S = 60.0
"""Age at which a body has its job, also if the database was locked for a while."""


@dataclass(frozen=True)
class WorkerTiming:
    """Waiting times of a worker.

    Attributes:
        poll_s: interval at which the store is polled for items of other processes.
        backoff_s: delay before the second attempt; doubled for each further one.
        stop_s: time that running items are given to finish when the service stops.
        storage_s: delay after which storage that failed is used again.
    """

    poll_s: float = 1.0
    backoff_s: float = 1.0
    stop_s: float = 10.0
    storage_s: float = 5.0


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
        clocks: watches the clocks by which jobs expire.
        auditor: writes every answered item into the audit log, if there is one.
        archives: the DICOMweb servers that items may refer to, or None if there are none.
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
        clocks: ClockWatch | None = None,
        auditor: Auditor | None = None,
        archives: "Archives | None" = None,
    ) -> None:
        self._clocks = ClockWatch() if clocks is None else clocks
        self._store = store
        self._spool = spool
        self._predictor = predictor
        self._describe_error = describe_error
        self._settings = settings.jobs
        self._source = ItemSource(spool, archives, threads, settings.limits.max_body_bytes)
        self._threads = threads
        self._observer = observer
        self._timing = timing
        self._auditor = auditor or Auditor()
        self._claims: set[Claim] = set()
        self._orphans: Mapping[str, int] = {}
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

    def sweep(self) -> None:
        """Count orphans, and remove expired jobs and old bodies if the clocks may be trusted.

        Blocks; `run` calls it every minute.
        """
        self._count_orphans()
        if self._clocks.jumped((time.time(), self._store.now())):
            logger.warning("the clock was set; nothing expires until it was steady for an hour")
        if not self._clocks.trusted():
            return
        for job in self._store.expired():
            self._spool.remove(job)
            if (items := self._store.delete(job)) is not None:
                self._observer.job("deleted", items)
        open_jobs = self._store.open_jobs()
        self._spool.sweep(self._settings.body_timeout_s + _ORPHAN_AGE_S, open_jobs)

    async def _work(self) -> None:
        """Claim and answer one item after another."""
        while not self._stopping.is_set():
            self._woken.clear()
            wait_s = self._timing.poll_s
            try:
                claim = await self._threads.run(self._store.claim)
                if claim is not None:
                    await self._process(claim)
                    continue
            except Exception as error:  # noqa: BLE001 - the database may be back at the next poll
                _log_unexpected(error)
                wait_s = self._timing.storage_s
            self._predictor.release_idle()
            await _wait(self._woken, wait_s)

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
            async with self._auditor.inference(_audit_entry(claim)) as audited:
                if claim.attempt > self._settings.attempts:
                    raise Interrupted("the service stopped during every attempt on this file")
                file = await self._source.read(claim)
                digest = await self._threads.run(_sha256, file.data)
                audited.identifies(digest, claim.query.identity)
                prediction = await self._predictor.predict(file.data, file.media_type, claim.query)
                file.check_instance(prediction.sop_instance_uid)
                if claim.query.store:
                    await self._source.send_back(file, prediction.objects)
                audited.answers(prediction.data, prediction.sop_instance_uid)
        except Exception as error:  # noqa: BLE001 - the error of one item must not stop the others
            return await self._fail_or_retry(claim, error, digest)
        kept = prediction.objects if claim.query.objects else ()
        answer = ItemAnswer(digest, prediction.data, prediction.overlay, kept)
        return "succeeded", await self._stored(self._store.succeed, claim, answer)

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
            delay_s = min(self._timing.backoff_s * 2 ** (claim.attempt - 1), MAX_DELAY_S)
            await self._stored(self._store.retry, claim, delay_s)
            return "retried", Completion(item=False)
        # An unexpected error may quote the input, so that only its being one is stored.
        known = error if isinstance(error, RadiographError) else RadiographError()
        problem = self._describe_error(known)
        return "failed", await self._stored(self._store.fail, claim, problem, digest)

    async def _stored(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Change the store, and try again for as long as it is full, locked or not there."""
        waiting = False
        while True:
            try:
                return await self._threads.run(call, *args, **kwargs)
            except (JobsUnavailable, StorageFull) as error:
                if not waiting:
                    logger.warning("an answer of a job waits until it can be stored: %s", error)
                waiting = True
            await asyncio.sleep(self._timing.storage_s)

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
                await self._threads.run(self.sweep)
            except Exception as error:  # noqa: BLE001 - the next sweep may succeed
                _log_unexpected(error)
            await asyncio.sleep(_SWEEP_INTERVAL_S)

    def _count_orphans(self) -> None:
        """Report bodies without an open job, and open jobs without a body."""
        bodies = self._spool.jobs(_SETTLED_S)  # the job of a younger one may be about to be stored
        open_jobs = self._store.open_jobs()
        without_body = (open_jobs - self._spool.jobs()) & self._store.open_jobs()
        found = {"body": len(bodies - open_jobs), "job": len(without_body)}
        for kind, count in found.items():
            self._observer.job_orphans(kind, count)
        if found != self._orphans and any(found.values()):
            text = "orphans of jobs: %d files without a job, %d jobs without their files"
            logger.warning(text, found["body"], found["job"])
        self._orphans = found


def log_name(job: str) -> str:
    """Return the name of a job in the log: its identifier would let readers fetch the answers."""
    return hashlib.sha256(job.encode()).hexdigest()[:12]


def _audit_entry(claim: Claim) -> Entry:
    """Return the entry of one attempt, without its file and its outcome."""
    request_id = f"{log_name(claim.job)}-{claim.number}"
    tasks = tuple(task.value for task in claim.query.tasks)
    principal = NOBODY.id if claim.owner is None else f"owner:{claim.owner}"
    return Entry(Act.INFER_JOB_ITEM, principal, request_id, tasks=tasks)


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
