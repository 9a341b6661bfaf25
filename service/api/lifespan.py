"""Components of the service: their composition, and their life from start to stop.

start: provider checked -> decoders start, versions load in the background -> ready
       -> the repository is polled for new versions
stop:  running and waiting requests finish -> loading ends, or is left to end with the process
       -> decoders stop -> sessions are freed
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass

from fastapi import FastAPI

from radiograph.errors import RadiographError
from radiograph.repository.repository import Repository
from service.api.http.problems import describe_error, outcome_of
from service.audit.auditor import Auditor
from service.audit.build import build_auditor
from service.audit.events import AccessEvents, RegistryEvents
from service.auth.access import Access
from service.backends.base import BackendFactory
from service.backends.factory import backend_factory
from service.dataplane.predictor import Predictor
from service.dataplane.shadow import Shadows
from service.decoding.pool import DecoderPool
from service.dicom_results import kinds, writer
from service.dicom_results.options import DicomResultOptions
from service.jobs.item_predictor import ItemPredictor
from service.jobs.job_service import JobService
from service.model_repository import open_repository
from service.observability.observer import Observer
from service.observability.tracing.tracing import Tracing
from service.poller import Poller
from service.registry.loading.loader import VersionLoader
from service.registry.loading.trial import Trial
from service.registry.registry import ModelRegistry
from service.registry.store_follower import StoreFollower
from service.scheduling.admission import Admission
from service.scheduling.dynamic_batching import DynamicBatcher
from service.settings import Settings

logger = logging.getLogger("g2d.loading")

STEP_ENDS_WITHIN_S = 10.0
"""Longest wait for one step of the end; a graph that never returns must not keep the process."""
_KEYS_INTERVAL_S = 1.0
"""Seconds after which a key that was revoked is refused, at most."""


@dataclass(frozen=True, eq=False)
class Components:
    """Everything that answers requests, put together.

    Attributes:
        batcher: runs the batches of every version.
        registry: the loaded versions.
        admission: decides which requests are served, and when.
        decoders: pool that decodes files.
        owns_decoders: the decoders start and stop with the application.
        shadows: runs copies of requests on the shadow version.
        predictor: the use case: answers a query about a file.
        tracing: spans of requests, or None; closed with the application.
        job_service: jobs, or None if they are switched off.
        pollers: poll the repository for new versions and moved aliases, and the API keys.
        access: finds the client of each request.
        auditor: writes the audit log, if there is one.
        store: follows the store of the models, if they are in one.
    """

    batcher: DynamicBatcher
    registry: ModelRegistry
    admission: Admission
    decoders: DecoderPool
    owns_decoders: bool
    shadows: Shadows
    predictor: Predictor
    tracing: Tracing | None
    job_service: JobService | None
    pollers: tuple[Poller, ...]
    access: Access
    auditor: Auditor
    store: StoreFollower

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Start the components, and stop them at the end of the context."""
        self.auditor.start()
        loaded = asyncio.Event()
        loading = asyncio.create_task(_in_daemon_thread(self._load, loaded))
        if self.owns_decoders:
            self.decoders.start()
        for poller in self.pollers:
            poller.start()
        if kinds.is_installed():
            threading.Thread(target=_warm_up, name="dicom-results", daemon=True).start()
        async with self.job_service.running(loading) if self.job_service else nullcontext():
            yield
            self.registry.stop()  # first, for jobs wait for the versions
            await _wait_for(loading, "loading at start")
            loaded.set()
        for poller in self.pollers:
            await asyncio.to_thread(poller.stop, STEP_ENDS_WITHIN_S)
        for close in self._closing_steps():
            await _wait_for(asyncio.create_task(asyncio.to_thread(close)), close.__qualname__)

    def _load(self) -> None:
        self.store.refresh()
        self.registry.load()

    def _closing_steps(self) -> Iterator[Callable[[], None]]:
        """Yield the calls that close the components, each before those it depends on."""
        if self.owns_decoders:
            yield self.decoders.close
        yield self.admission.close
        yield self.shadows.close
        yield self.registry.close
        yield self.batcher.close
        if self.tracing is not None:
            yield self.tracing.close
        yield self.auditor.close


def build_components(
    settings: Settings,
    backends: BackendFactory | None,
    observer: Observer,
    tracing: Tracing | None,
    decoders: DecoderPool | None,
) -> Components:
    """Create every component that is not given; nothing starts yet.

    Raises:
        ProviderUnavailable: the hardware that the settings ask for is not usable.
        InvalidSettings: the URL of the job database, the audit log, or the file of API keys or
            trusted keys, is not usable.
    """
    auditor = build_auditor(settings.audit, observer, outcome_of)
    batcher = DynamicBatcher(settings.batching, observer)
    access = Access(settings, _access_observer(observer, auditor))
    backends = backend_factory(settings) if backends is None else backends
    repository = open_repository(settings.models)
    store = StoreFollower(repository, observer)
    variant = settings.runtime.variant
    trial = Trial.of(settings)
    loader = VersionLoader(repository, backends, settings.limits, batcher, variant, trial)
    registry_observer = _registry_observer(observer, auditor, repository)
    registry = ModelRegistry(settings.models, loader, registry_observer)
    admission = Admission(settings.batching, settings.limits, observer)
    pool = DecoderPool(settings.decoding, observer) if decoders is None else decoders
    dicom_options = DicomResultOptions.of(settings.dicom_results)
    predictor = Predictor(settings.limits, registry.lookup, admission, pool, dicom_options)
    return Components(
        batcher=batcher,
        registry=registry,
        admission=admission,
        decoders=pool,
        owns_decoders=decoders is None,
        shadows=Shadows(observer, lambda: admission.active >= settings.batching.workers),
        predictor=predictor,
        tracing=tracing,
        job_service=_job_service(settings, registry, predictor, observer, auditor),
        pollers=tuple(_pollers(settings, registry, store, access)),
        access=access,
        auditor=auditor,
        store=store,
    )


def _access_observer(observer: Observer, auditor: Auditor) -> Observer:
    """Return the observer of access control, whose events are audited too if there is a log."""
    return observer if auditor.trail is None else AccessEvents(observer, auditor.trail)


def _registry_observer(observer: Observer, auditor: Auditor, repository: Repository) -> Observer:
    """Return the observer of the registry, whose events are audited too if there is a log."""
    if auditor.trail is None:
        return observer

    def digest_of(name: str, version: int) -> str | None:
        try:
            return repository.digest(name, version)
        except (RadiographError, OSError):
            return None

    return RegistryEvents(observer, auditor.trail, digest_of)


def _pollers(
    settings: Settings, registry: ModelRegistry, store: StoreFollower, access: Access
) -> Iterator[Poller]:
    """Yield what follows changes on disk and in a store."""
    interval_s = settings.models.watch_interval_s

    def refresh() -> None:
        store.refresh()
        registry.refresh()

    yield Poller("the model repository", refresh, interval_s)
    if access.key_file is not None:
        yield Poller("the API keys", access.key_file.refresh, _KEYS_INTERVAL_S)


def _job_service(
    settings: Settings,
    registry: ModelRegistry,
    predictor: Predictor,
    observer: Observer,
    auditor: Auditor,
) -> JobService | None:
    if settings.jobs.dir is None:
        return None
    item_predictor = ItemPredictor(registry, predictor)
    return JobService(
        settings, settings.jobs.dir, registry, item_predictor, describe_error, observer, auditor
    )


def _warm_up() -> None:
    """Prepare the DICOM encoders; requests are served meanwhile, and work without it."""
    try:
        writer.warm_up()
    except Exception as error:  # noqa: BLE001 - the first request then shows the same error
        logger.warning("the DICOM encoders cannot be prepared: %s", type(error).__name__)


async def _in_daemon_thread(work: Callable[[], None], done: asyncio.Event) -> None:
    """Run work that may never end in a thread that the end of the process does not wait for.

    Args:
        work: the work.
        done: set at its end; whoever sets it earlier no longer waits.
    """
    loop = asyncio.get_running_loop()

    def run() -> None:
        try:
            work()
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="first-load", daemon=True).start()
    await done.wait()


async def _wait_for(step: "asyncio.Task[None]", name: str) -> None:
    """Wait for a step of the end, but not for ever: what it leaves ends with the process."""
    _, pending = await asyncio.wait({step}, timeout=STEP_ENDS_WITHIN_S)
    if pending:
        logger.error("%s did not end within %g s", name, STEP_ENDS_WITHIN_S)
    else:
        step.result()
