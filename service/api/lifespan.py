"""Components of the service: their composition, and their life from start to stop.

start: provider checked -> decoders start, versions load in the background -> ready
       -> the repository is polled for new versions
stop:  running and waiting requests finish -> decoders stop -> sessions are freed
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass

from fastapi import FastAPI

from radiograph.repository.repository import Repository
from service.api.http.problems import describe_error
from service.backends.base import BackendFactory
from service.backends.factory import backend_factory
from service.dataplane.predictor import Predictor
from service.dataplane.shadow import Shadows
from service.decoding.pool import DecoderPool
from service.jobs.item_predictor import ItemPredictor
from service.jobs.job_service import JobService
from service.observability.observer import Observer
from service.observability.tracing import Tracing
from service.registry.loader import VersionLoader
from service.registry.poller import RepositoryPoller
from service.registry.registry import ModelRegistry
from service.scheduling.admission import Admission
from service.scheduling.dynamic_batching import DynamicBatcher
from service.settings import Settings


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
        poller: polls the repository for new versions and moved aliases.
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
    poller: RepositoryPoller

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Start the components, and stop them at the end of the context."""
        loading = asyncio.create_task(asyncio.to_thread(self.registry.load))
        if self.owns_decoders:
            self.decoders.start()
        self.poller.start()
        async with self.job_service.running(loading) if self.job_service else nullcontext():
            yield
        await asyncio.to_thread(self.poller.stop)
        await loading
        for close in self._closing_steps():
            await asyncio.to_thread(close)

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
        InvalidSettings: the URL of the job database is not usable.
    """
    batcher = DynamicBatcher(settings.batching, observer)
    backends = backend_factory(settings) if backends is None else backends
    repository = Repository(settings.models.models_dir)
    variant = settings.runtime.variant
    loader = VersionLoader(repository, backends, settings.limits, batcher, variant)
    registry = ModelRegistry(settings.models, loader, observer)
    admission = Admission(settings.batching, settings.limits, observer)
    pool = DecoderPool(settings.decoding, observer) if decoders is None else decoders
    predictor = Predictor(settings.limits, registry.lookup, admission, pool)
    return Components(
        batcher=batcher,
        registry=registry,
        admission=admission,
        decoders=pool,
        owns_decoders=decoders is None,
        shadows=Shadows(observer, lambda: admission.active >= settings.batching.workers),
        predictor=predictor,
        tracing=tracing,
        job_service=_job_service(settings, registry, predictor, observer),
        poller=RepositoryPoller(registry.refresh, settings.models.watch_interval_s),
    )


def _job_service(
    settings: Settings, registry: ModelRegistry, predictor: Predictor, observer: Observer
) -> JobService | None:
    if settings.jobs.dir is None:
        return None
    item_predictor = ItemPredictor(registry, predictor)
    return JobService(
        settings, settings.jobs.dir, registry, item_predictor, describe_error, observer
    )
