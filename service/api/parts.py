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

from service.admission import Admission, AdmissionLimits
from service.api import job_trade
from service.api.answers import Answerer
from service.api.job_desk import JobDesk
from service.backends import choice
from service.batching import Engine
from service.decoding import DecoderOptions, Decoders
from service.events import Observer
from service.loading import Models
from service.opening import BackendFactory
from service.settings import Settings, available_cpus
from service.shadow import Shadows
from service.tracing import Tracing
from service.watching import Watcher


@dataclass(frozen=True, eq=False)
class Parts:
    """What answers requests, and what it runs on.

    Attributes:
        own_decoders: whether the decoders start and end with the application.
        tracing: ended with it, or None.
        desk: keeps jobs, or None where there are none.
    """

    engine: Engine
    models: Models
    admission: Admission
    decoders: Decoders
    own_decoders: bool
    shadows: Shadows
    answerer: Answerer
    tracing: Tracing | None
    desk: JobDesk | None
    watcher: Watcher

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


def put_together(
    settings: Settings,
    backends: BackendFactory | None,
    observer: Observer,
    tracing: Tracing | None,
    decoders: Decoders | None,
) -> Parts:
    """Make every part that is not given; nothing starts.

    Raises:
        ProviderUnavailable: the hardware that the settings ask for does not compute.
        InvalidSettings: the URL of the jobs' database is not usable.
    """
    max_batch = None if settings.max_batch == "auto" else settings.max_batch
    engine = Engine(settings.workers, max_batch, observer=observer)
    backends = choice.factory(settings) if backends is None else backends
    models = Models(settings, backends, engine, observer)
    admission = Admission(_admission_limits(settings), observer)
    reading = Decoders(_decoder_options(settings), observer) if decoders is None else decoders
    shadows = Shadows(observer, lambda: admission.taken >= settings.workers)
    answerer = Answerer(settings, models, admission, reading, shadows)
    return Parts(
        engine=engine,
        models=models,
        admission=admission,
        decoders=reading,
        own_decoders=decoders is None,
        shadows=shadows,
        answerer=answerer,
        tracing=tracing,
        desk=_desk(settings, models, answerer, observer),
        watcher=Watcher(models.refresh, settings.watch_interval_s),
    )


def _desk(
    settings: Settings, models: Models, answerer: Answerer, observer: Observer
) -> JobDesk | None:
    if settings.jobs_dir is None:
        return None
    trade = job_trade.of(models, answerer)
    return JobDesk(settings, settings.jobs_dir, models, trade, observer)


def _admission_limits(settings: Settings) -> AdmissionLimits:
    return AdmissionLimits(
        places=settings.workers + settings.waiting,
        max_bytes=max(settings.max_buffered_bytes, settings.max_body_bytes),
        max_wait_s=settings.max_wait_s,
        threads=max(2, min(4, available_cpus())),
    )


def _decoder_options(settings: Settings) -> DecoderOptions:
    return DecoderOptions(
        workers=settings.decode_workers,
        timeout_s=settings.decode_timeout_s,
        memory_bytes=settings.decode_memory_bytes,
    )
