"""Job service: accepts jobs, reads and deletes them, and runs the worker.

    pin version, check query --> body to disk --> pieces --> body kept (fsync) --> rows committed
                                                       '- any error: nothing of it stays

A job is accepted once its body and its rows are on disk; from then on it survives the process.
The HTTP interface receives the body between `incoming` and `accept`.
"""

import asyncio
import hashlib
import logging
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from radiograph.errors import MalformedInput
from service.audit.auditor import Auditor
from service.dataplane.query import PredictionQuery
from service.dicom_results import kinds
from service.dicomweb.connect import open_archives
from service.errors import JobNotFound, JobsUnavailable, Overloaded, ServiceError, StorageFull
from service.inference.analysis import Analysis
from service.jobs.item_predictor import ItemPredictor
from service.jobs.job import Contents, Job, JobQuery, NewJob
from service.jobs.storage import schema
from service.jobs.storage.spool import Incoming, Spool
from service.jobs.storage.store import Store
from service.jobs.thread_pool import JobThreads
from service.jobs.worker import DescribeError, JobWorker
from service.observability.observer import NULL_OBSERVER, Observer
from service.registry.registry import ModelRegistry
from service.settings import JobSettings, Settings
from service.storage.database import Database

logger = logging.getLogger("g2d.jobs")

T = TypeVar("T")

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_ID = re.compile(r"[0-9a-f]{32}")
_REOPEN_INTERVAL_S = 5.0
_SPARE_THREADS = 4


@dataclass(frozen=True, eq=False)
class PinnedQuery:
    """A query, and the loaded version that it was pinned to when its job was sent."""

    query: JobQuery
    analysis: Analysis

    def check(self, phrases: tuple[str, ...] = (), *, store: bool = False) -> JobQuery:
        """Return the query with what came in a body, unless every item would be refused.

        Raises:
            RadiographError: the version does not answer such a query.
        """
        update = {"phrases": self.query.phrases + phrases, "store": store}
        query = self.query.model_copy(update=update)
        self.analysis.plan(query.prediction_query().analysis_request())
        return query


class JobService:
    """Accepts jobs, reads and deletes them, and runs the worker.

    Args:
        settings: settings of the service.
        folder: folder of the bodies and, unless the settings name another one, of the database.
        registry: the versions that a job can ask for.
        predictor: answers one item.
        describe_error: turns the error of an item into problem details.
        observer: receives events of jobs.
        auditor: writes every answered item into the audit log, if there is one.

    Attributes:
        threads: threads for blocking calls.
        archives: the DICOMweb servers that a job may refer to, or None if there are none.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        registry: ModelRegistry,
        predictor: ItemPredictor,
        describe_error: DescribeError,
        observer: Observer = NULL_OBSERVER,
        auditor: Auditor | None = None,
    ) -> None:
        """Check the settings; nothing is opened yet.

        Raises:
            InvalidSettings: the URL of the database, or the file of DICOMweb servers, cannot be
                used.
        """
        self._registry = registry
        self._observer = observer
        self._uploads_left = settings.jobs.uploads
        thread_count = settings.jobs.uploads + settings.jobs.in_flight + _SPARE_THREADS
        self.threads = JobThreads(thread_count)
        self._spool = Spool(folder, settings.jobs.min_free_bytes)
        self.archives = open_archives(settings, kinds.MANUFACTURER)
        database = Database(_database_url(settings.jobs, folder), thread_count, schema.PURPOSE)
        self._store = Store(database, settings.jobs.lease_s, settings.jobs.keep_s)
        self._worker = JobWorker(
            self._store,
            self._spool,
            predictor,
            describe_error,
            settings,
            self.threads,
            observer,
            auditor=auditor or Auditor(),
            archives=self.archives,
        )
        self._opened = False
        self._opening = asyncio.Lock()
        self._closing = asyncio.Event()

    @asynccontextmanager
    async def running(self, versions_loaded: Awaitable[object]) -> AsyncIterator[None]:
        """Work on jobs until the context ends.

        Args:
            versions_loaded: completes when the versions have been loaded; work begins then.
        """
        working = asyncio.create_task(self._run(versions_loaded))
        yield
        self._closing.set()
        self._worker.stop()
        await working
        if self.archives is not None:
            await self.archives.close()
        await asyncio.to_thread(self._close)

    async def _run(self, versions_loaded: Awaitable[object]) -> None:
        await versions_loaded
        reported = ""
        while not self._closing.is_set():
            try:
                await self._open()
            except (JobsUnavailable, StorageFull) as error:
                if (reason := _reason(error)) != reported:
                    logger.error("jobs are unavailable: %s", reason)
                reported = reason
                with suppress(TimeoutError):
                    async with asyncio.timeout(_REOPEN_INTERVAL_S):
                        await self._closing.wait()
            else:
                await self._worker.run()

    def _close(self) -> None:
        self.threads.close()
        self._store.close()

    async def call(self, read: Callable[[Store], T]) -> T:
        """Call the store off the event loop and return its answer.

        Raises:
            JobsUnavailable: the store does not answer.
        """
        await self._open()
        return await self.threads.run(read, self._store)

    def pin(self, query: PredictionQuery, *, overlay: bool) -> PinnedQuery:
        """Fix the version that will answer every item of a job.

        Raises:
            NotReady: the version is still loading, or failed to load.
            ModelNotFound: no such version is served.
        """
        analysis = self._registry.lookup.ready(query.model, query.version)
        pinned = JobQuery(
            tasks=query.tasks,
            phrases=query.phrases,
            method=query.method,
            heatmap=query.heatmap,
            rle=query.rle,
            overlay=overlay,
            overlay_side_px=query.overlay_side_px,
            objects=query.objects,
            segmentation=query.segmentation,
            uncertainty=query.uncertainty,
            model=analysis.identity.name,
            version=analysis.identity.version,
            digest=analysis.identity.digest,
        )
        return PinnedQuery(pinned, analysis)

    @asynccontextmanager
    async def incoming(self, declared_bytes: int) -> AsyncIterator[Incoming]:
        """Open a file for the body of a job; it is removed at the end unless it was accepted.

        Args:
            declared_bytes: size of the body as the client declares it, 0 if it does not.

        Raises:
            JobsUnavailable: the folder or the database cannot be used.
            StorageFull: the disk has no room for the body.
            Overloaded: as many bodies as the settings allow are arriving already.
        """
        await self._open()
        await self.threads.run(self._spool.check_room, declared_bytes)
        if not self._uploads_left:
            raise Overloaded("too many job uploads in progress; retry later")
        self._uploads_left -= 1
        try:
            incoming = await self.threads.run(self._spool.begin)
            try:
                yield incoming
            finally:
                await asyncio.shield(self.threads.run(incoming.discard))
        finally:
            self._uploads_left += 1

    async def accept(
        self,
        query: PinnedQuery,
        incoming: Incoming,
        contents: Contents,
        key: str | None,
        fingerprint: str,
        owner: str | None,
    ) -> Job:
        """Accept a job, or return the one that the same key and request created before.

        Args:
            query: question about every radiograph, without the phrases of a form.
            incoming: body of the job, received completely.
            contents: contents of the body.
            key: from `key_digest`.
            fingerprint: digest of everything that the client sent and asked for.
            owner: digest of the owner of the client, or None for an anonymous client.

        Raises:
            RadiographError: the job is refused, and nothing of it stays.
        """
        new = NewJob(
            id=secrets.token_hex(16),
            query=query.check(contents.phrases, store=contents.store),
            contents=contents,
            key=key,
            fingerprint=fingerprint,
            owner=owner,
        )
        # A client that disconnects now must not leave half a job behind.
        job = await asyncio.shield(self.threads.run(self._commit, new, incoming))
        self._worker.wake()
        return job

    async def delete(self, job: str) -> None:
        """Delete a job, its body and its answers.

        Raises:
            JobNotFound: there is no such job.
        """
        items = await self.call(lambda store: store.delete(checked_id(job)))
        if items is None:
            raise JobNotFound("there is no such job")
        await self.threads.run(self._spool.remove, job)
        self._observer.job("deleted", items)

    async def _open(self) -> None:
        async with self._opening:
            if not self._opened:
                await self.threads.run(self._spool.prepare)
                await self.threads.run(self._store.prepare)
                self._opened = True

    def _commit(self, new: NewJob, incoming: Incoming) -> Job:
        """Store the body first and the rows second, so that every stored job has its body."""
        self._spool.keep(incoming, new.id)
        try:
            job = self._store.accept(new)
        except BaseException:
            if not self._may_be_stored(new.id):
                self._spool.remove(new.id)
            raise
        if job.id != new.id:
            self._spool.remove(new.id)
            return job
        self._observer.job("accepted", job.counts.total)
        return job

    def _may_be_stored(self, job: str) -> bool:
        """Return whether a job may be in the database although storing it failed."""
        if not self._store.remote:
            return False
        try:
            return self._store.has(job)
        except JobsUnavailable:
            return True  # the sweep decides once the database answers


def _reason(error: ServiceError) -> str:
    """Return the reason of an error for the operator: that of the system, if there is one."""
    cause = error.__cause__
    return f"{error}: {cause}" if isinstance(cause, OSError) else str(error)


def checked_id(job: str) -> str:
    """Return an identifier of a job if it has the right form.

    Raises:
        JobNotFound: it cannot be the identifier of a job.
    """
    if not _ID.fullmatch(job):
        raise JobNotFound("there is no such job")
    return job


def key_digest(key: str | None, owner: str | None) -> str | None:
    """Return the digest that is stored of an Idempotency-Key; clients may put anything in one.

    The same key of two owners has two digests, so that nobody meets the key of another one.

    Args:
        key: key as it was received.
        owner: digest of the owner of the client, or None for an anonymous client.

    Raises:
        MalformedInput: the key is not 1 to 255 visible ASCII characters.
    """
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise MalformedInput("an Idempotency-Key must be 1 to 255 visible ASCII characters")
    return hashlib.sha256((key if owner is None else f"{owner}\0{key}").encode()).hexdigest()


def _database_url(settings: JobSettings, folder: Path) -> str:
    if settings.url is None:
        return f"sqlite:///{folder.absolute() / 'jobs.sqlite'}"
    return settings.url.get_secret_value()
