"""Parts: the collaborators of the service put together, and their life from start to end.

start: provider checked -> decoders start, versions load in the background -> ready
       -> new versions are watched for
end:   running and waiting requests finish -> decoders end -> sessions are freed
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass

from fastapi import FastAPI

from radiograph.repository.repository import Repository
from service.backends import factory
from service.dataplane.predictor import Predictor
from service.dataplane.shadow import Shadows
from service.decoding.pool import DecoderPool
from service.jobs import item_predictor
from service.jobs.job_service import JobService
from service.observability.observer import Observer
from service.observability.tracing import Tracing
from service.registry.loader import BackendFactory, VersionLoader
from service.registry.poller import RepositoryPoller
from service.registry.registry import ModelRegistry
from service.scheduling.admission import Admission
from service.scheduling.dynamic_batching import DynamicBatcher
from service.settings import Settings


@dataclass(frozen=True, eq=False)
class Components:
    """What answers requests, and what it runs on.

    Attributes:
        own_decoders: whether the decoders start and end with the application.
        tracing: ended with it, or None.
        desk: keeps jobs, or None where there are none.
    """

    engine: DynamicBatcher
    models: ModelRegistry
    admission: Admission
    decoders: DecoderPool
    own_decoders: bool
    shadows: Shadows
    answerer: Predictor
    tracing: Tracing | None
    desk: JobService | None
    watcher: RepositoryPoller

    @asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """The life of the application."""
        loading = asyncio.create_task(asyncio.to_thread(self.models.load))
        if self.own_decoders:
            self.decoders.start()
        self.watcher.start()
        async with self.desk.open(loading) if self.desk else nullcontext():
            yield
        await asyncio.to_thread(self.watcher.stop)
        await loading
        for close in self._closings():
            await asyncio.to_thread(close)

    def _closings(self) -> Iterator[Callable[[], None]]:
        """What ends each part, those first that others run on last."""
        if self.own_decoders:
            yield self.decoders.close
        yield self.admission.close
        yield self.shadows.close
        yield self.models.close
        yield self.engine.close
        if self.tracing is not None:
            yield self.tracing.close


def build_components(
    settings: Settings,
    backends: BackendFactory | None,
    observer: Observer,
    tracing: Tracing | None,
    decoders: DecoderPool | None,
) -> Components:
    """Make every part that is not given; nothing starts.

    Raises:
        ProviderUnavailable: the hardware that the settings ask for does not compute.
        InvalidSettings: the URL of the jobs' database is not usable.
    """
    engine = DynamicBatcher(settings.batching, observer)
    backends = factory.factory(settings) if backends is None else backends
    repository = Repository(settings.models.models_dir)
    loader = VersionLoader(repository, backends, settings.limits, engine)
    models = ModelRegistry(settings.models, loader, observer)
    admission = Admission(settings.batching, settings.limits, observer)
    reading = DecoderPool(settings.decoding, observer) if decoders is None else decoders
    shadows = Shadows(observer, lambda: admission.active >= settings.batching.workers)
    answerer = Predictor(settings, models.lookup, admission, reading, shadows)
    return Components(
        engine=engine,
        models=models,
        admission=admission,
        decoders=reading,
        own_decoders=decoders is None,
        shadows=shadows,
        answerer=answerer,
        tracing=tracing,
        desk=_desk(settings, models, answerer, observer),
        watcher=RepositoryPoller(models.refresh, settings.models.watch_interval_s),
    )


def _desk(
    settings: Settings, models: ModelRegistry, answerer: Predictor, observer: Observer
) -> JobService | None:
    if settings.jobs.dir is None:
        return None
    trade = item_predictor.of(models, answerer)
    return JobService(settings, settings.jobs.dir, models, trade, observer)
