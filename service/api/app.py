"""create_app: the collaborators put together, and their life from start to end.

start: provider checked -> decoders start, versions load in the background -> ready
       -> new versions are watched for
end:   running and waiting requests finish -> decoders end -> sessions are freed
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from fastapi import FastAPI

from service.admission import Admission, AdmissionLimits
from service.api import admin, job_trade, jobs, metrics, openapi, pages, problems, routes
from service.api.answers import Answerer
from service.api.job_desk import JobDesk
from service.api.middleware import RequestContext
from service.backends import choice
from service.batching import Engine
from service.decoding import DecoderOptions, Decoders
from service.events import NOBODY, Observer
from service.loading import Models
from service.metrics import Metrics
from service.opening import BackendFactory
from service.settings import Settings, available_cpus
from service.shadow import Shadows
from service.tracing import Tracing
from service.watching import Watcher


def create_app(
    settings: Settings,
    backends: BackendFactory | None = None,
    observer: Observer | None = None,
    tracing: Tracing | None = None,
    decoders: Decoders | None = None,
) -> FastAPI:
    """The service as an ASGI application.

    Args:
        settings: what the operator chose.
        backends: builds the backend of a version; what the settings choose unless given.
        observer: told what happens; unless given, what `GET /metrics` answers with.
        tracing: begins the spans of requests; no request is traced unless given.
        decoders: reads the files, started and closed by the caller; the application's own
            unless given.

    Raises:
        ProviderUnavailable: the hardware that the settings ask for does not compute.
    """
    if observer is None:
        observer = Metrics() if settings.metrics else NOBODY
    max_batch = None if settings.max_batch == "auto" else settings.max_batch
    engine = Engine(settings.workers, max_batch, observer=observer)
    backends = choice.factory(settings) if backends is None else backends
    models = Models(settings, backends, engine, observer)
    admission = Admission(_admission_limits(settings), observer)
    own = Decoders(_decoder_options(settings), observer)
    decoders = own if decoders is None else decoders

    shadows = Shadows(observer, lambda: admission.taken >= settings.workers)
    watcher = Watcher(models.refresh, settings.watch_interval_s)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(asyncio.to_thread(models.load))
        if decoders is own:
            own.start()
        watcher.start()
        async with desk.open(loading) if desk else nullcontext():
            yield
        await asyncio.to_thread(watcher.stop)
        await loading
        await asyncio.to_thread(own.close)
        await asyncio.to_thread(admission.close)
        await asyncio.to_thread(shadows.close)
        await asyncio.to_thread(models.close)
        await asyncio.to_thread(engine.close)
        if tracing is not None:
            await asyncio.to_thread(tracing.close)

    answerer = Answerer(settings, models, admission, decoders, shadows)
    desk: JobDesk | None = None
    if settings.jobs_dir is not None:
        trade = job_trade.of(models, answerer)
        desk = JobDesk(settings, settings.jobs_dir, models, trade, observer)

    app = FastAPI(
        title=openapi.TITLE,
        description=openapi.DESCRIPTION,
        version="1",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        # The framework's own spans would hold the query, and so perhaps a phrase.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.models, app.state.admission, app.state.answerer = models, admission, answerer
    app.state.engine = engine
    app.add_middleware(RequestContext, observer=observer, tracing=tracing)
    problems.install(app)
    openapi.install(app)
    for prefix in ("/v1", ""):
        app.include_router(routes.tasks(answerer, prefix), include_in_schema=bool(prefix))
    app.include_router(routes.models(models, settings.default_model))
    app.include_router(admin.router(models, settings))
    if desk is not None:
        app.include_router(jobs.router(desk, listing=settings.jobs_list))
    app.include_router(routes.health(models))
    if isinstance(observer, Metrics):
        app.include_router(metrics.router(observer))
    app.include_router(pages.router())
    return app


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
