"""Job desk: from a request for a job to a job that is accepted, and the runner's life.

    check question --> body to disk --> pieces --> body kept (fsync) --> rows committed --> 202
                                                      any fault: nothing of it stays

A job is accepted once its body and its rows are on disk; from then on it survives the process.
"""

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from starlette.requests import Request

from radiograph.errors import MalformedInput
from service.api.schemas.jobs import JobQuery
from service.api.uploads import job_upload
from service.api.uploads.job_upload import JobContentType, JobLimits
from service.errors import JobNotFound, JobsUnavailable, Overloaded
from service.inference.results import ModelIdentity
from service.jobs import item_predictor
from service.jobs.archives.zip_archive import ArchiveLimits
from service.jobs.job import Job, JobQuestion, NewJob
from service.jobs.storage.database import Database
from service.jobs.storage.spool import Incoming, Spool
from service.jobs.storage.store import Store
from service.jobs.trade import Trade
from service.jobs.worker import Pace, Runner, Threads
from service.observability.observer import NULL_OBSERVER, Observer
from service.registry.registry import ModelRegistry
from service.settings import Settings

T = TypeVar("T")

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_ID = re.compile(r"[0-9a-f]{32}")
_OPEN_AGAIN_S = 5.0
_SPARE_THREADS = 4
_LEFTOVER_S = 3600.0


class JobService:
    """Accepts jobs, shows them and has them worked on.

    Args:
        settings: what the operator chose.
        models: the versions that a job may ask.
        trade: how an item is answered.
        observer: hears of jobs.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        models: ModelRegistry,
        trade: Trade,
        observer: Observer = NULL_OBSERVER,
    ) -> None:
        """Check the settings; nothing is opened yet.

        Raises:
            InvalidSettings: the URL of the database is not usable.
        """
        self._models = models
        self._observer = observer
        self._limits = _limits(settings)
        self._uploads = settings.jobs.uploads
        count = settings.jobs.uploads + settings.jobs.in_flight + _SPARE_THREADS
        self._threads = Threads(count)
        self._spool = Spool(folder, settings.jobs.min_free_bytes)
        url = settings.jobs.url
        database = Database(
            f"sqlite:///{folder.absolute() / 'jobs.sqlite'}"
            if url is None
            else url.get_secret_value(),
            count,
        )
        self._store = Store(database, settings.jobs.lease_s, settings.jobs.keep_s)
        pace = Pace(
            in_flight=settings.jobs.in_flight,
            attempts=settings.jobs.attempts,
            max_bytes=settings.limits.max_body_bytes,
            stale_s=settings.jobs.body_timeout_s + _LEFTOVER_S,
        )
        self._runner = Runner(self._store, self._spool, trade, pace, self._threads, observer)
        self._opened = False
        self._opening = asyncio.Lock()
        self._closing = asyncio.Event()

    @asynccontextmanager
    async def open(self, ready: Awaitable[object]) -> AsyncIterator[None]:
        """Work on jobs within it, once the versions have been loaded.

        Args:
            ready: ends when they have.
        """
        working = asyncio.create_task(self._run(ready))
        yield
        self._closing.set()
        self._runner.stop()
        await working
        await asyncio.to_thread(self._close)

    async def _run(self, ready: Awaitable[object]) -> None:
        await ready
        while not self._closing.is_set():
            try:
                await self._open()
            except JobsUnavailable:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_OPEN_AGAIN_S):
                        await self._closing.wait()
            else:
                await self._runner.run()

    def _close(self) -> None:
        self._threads.close()
        self._store.close()

    async def call(self, ask: Callable[[Store], T]) -> T:
        """Ask the store something, off the event loop.

        Raises:
            JobsUnavailable: it does not answer.
        """
        await self._open()
        return await self._threads.run(ask, self._store)

    async def accept(self, request: Request, query: JobQuery) -> Job:
        """Take a job, or give the one that the same key and request made before.

        Raises:
            RadiographError: it is not taken, and nothing of it stays.
        """
        key = key_digest(request.headers.get("idempotency-key"))
        content = job_upload.content_type(request)
        analysis = self._models.lookup.ready(query.model, query.version)
        question = _question(query, analysis.identity)
        if content.media_type != job_upload.FORM:  # in a form, phrases are still to come
            item_predictor.check(analysis, question)
        size = job_upload.declared_bytes(request, self._limits)
        await self._open()
        await self._threads.run(self._spool.check_room, size)
        if not self._uploads:
            raise Overloaded("as many jobs as may be are being sent")
        self._uploads -= 1
        try:
            incoming = await self._threads.run(self._spool.begin)
            try:
                await job_upload.receive(request, incoming, self._limits, self._threads)
                found, digest = await self._threads.run(
                    job_upload.contents, incoming.file, content, self._limits
                )
                phrases = question.phrases + found.phrases
                new = NewJob(
                    id=secrets.token_hex(16),
                    question=question.model_copy(update={"phrases": phrases}),
                    contents=found,
                    key=key,
                    fingerprint=_fingerprint(query, content, found.phrases, digest),
                )
                item_predictor.check(analysis, new.question)
                job = await asyncio.shield(self._threads.run(self._keep, new, incoming))
            finally:
                await asyncio.shield(self._threads.run(incoming.discard))
        finally:
            self._uploads += 1
        self._runner.wake()
        return job

    async def delete(self, job: str) -> None:
        """Forget a job, its body and its answers.

        Raises:
            JobNotFound: there is none.
        """
        items = await self.call(lambda store: store.delete(known(job)))
        if items is None:
            raise JobNotFound("there is no such job")
        await self._threads.run(self._spool.remove, job)
        self._observer.job("deleted", items)

    async def _open(self) -> None:
        async with self._opening:
            if not self._opened:
                await self._threads.run(self._spool.prepare)
                await self._threads.run(self._store.prepare)
                self._opened = True

    def _keep(self, new: NewJob, incoming: Incoming) -> Job:
        """First the body, then the rows: a job that is in the database has its body."""
        self._spool.keep(incoming, new.id)
        try:
            job = self._store.accept(new)
        except JobsUnavailable:
            raise  # it may have been accepted all the same; the body is swept if it was not
        except BaseException:
            self._spool.remove(new.id)
            raise
        if job.id != new.id:
            self._spool.remove(new.id)
            return job
        self._observer.job("accepted", job.counts.total)
        return job


def _question(query: JobQuery, identity: ModelIdentity) -> JobQuestion:
    """What is asked, with the version that answers fixed."""
    return JobQuestion(
        tasks=query.asked(),
        phrases=tuple(query.phrase),
        method=query.method,
        heatmap=query.heatmap,
        overlay=query.overlay,
        model=identity.name,
        version=identity.version,
        digest=identity.digest,
    )


def known(job: str) -> str:
    """An id that may be one of ours.

    Raises:
        JobNotFound: it is not.
    """
    if not _ID.fullmatch(job):
        raise JobNotFound("there is no such job")
    return job


def key_digest(key: str | None) -> str | None:
    """What is kept of an Idempotency-Key: clients may put anything in one.

    Raises:
        MalformedInput: not 1 to 255 visible ASCII characters.
    """
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise MalformedInput("an Idempotency-Key is 1 to 255 visible ASCII characters")
    return hashlib.sha256(key.encode()).hexdigest()


def _fingerprint(
    query: JobQuery, content: JobContentType, phrases: tuple[str, ...], digest: str
) -> str:
    """What was asked, in the client's words, and what was sent."""
    members = [query.model_dump_json(), content.media_type, *phrases, digest]
    return hashlib.sha256("\0".join(members).encode()).hexdigest()


def _limits(settings: Settings) -> JobLimits:
    return JobLimits(
        max_bytes=settings.jobs.max_bytes,
        chunk_timeout_s=settings.limits.body_timeout_s,
        timeout_s=settings.jobs.body_timeout_s,
        max_phrases=settings.limits.max_phrases,
        max_phrase_bytes=4 * settings.limits.max_phrase_chars,
        archive=ArchiveLimits(settings.jobs.max_items, settings.jobs.max_inflated_bytes),
    )
