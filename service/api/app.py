"""create_app: the collaborators put together, and their life from start to end.

start: provider checked -> versions load in the background -> ready
end:   running requests finish -> sessions are freed
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from service.admission import Admission
from service.api import metrics, openapi, pages, problems, routes
from service.api.answers import Answerer
from service.api.middleware import RequestContext
from service.backends import ort
from service.events import NOBODY, Observer
from service.loading import BackendFactory, Models
from service.metrics import Metrics
from service.settings import Settings
from service.tracing import Tracing


def create_app(
    settings: Settings,
    backends: BackendFactory | None = None,
    observer: Observer | None = None,
    tracing: Tracing | None = None,
) -> FastAPI:
    """The service as an ASGI application.

    Args:
        settings: what the operator chose.
        backends: builds the backend of a version; ONNX Runtime in this process unless given.
        observer: told what happens; unless given, what `GET /metrics` answers with.
        tracing: begins the spans of requests; no request is traced unless given.

    Raises:
        ProviderUnavailable: the hardware that the settings ask for does not compute.
    """
    if observer is None:
        observer = Metrics() if settings.metrics else NOBODY
    models = Models(settings, ort.factory(settings) if backends is None else backends)
    buffered = max(settings.max_buffered_bytes, settings.max_body_bytes)
    admission = Admission(settings.workers, settings.waiting, buffered)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(asyncio.to_thread(models.load))
        yield
        await loading
        await asyncio.to_thread(admission.close)
        models.close()
        if tracing is not None:
            await asyncio.to_thread(tracing.close)

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
    app.state.models, app.state.admission = models, admission
    app.add_middleware(RequestContext, observer=observer, tracing=tracing)
    problems.install(app)
    openapi.install(app)
    answerer = Answerer(settings, models, admission)
    for prefix in ("/v1", ""):
        app.include_router(routes.tasks(answerer, prefix), include_in_schema=bool(prefix))
    app.include_router(routes.models(models, settings.default_model))
    app.include_router(routes.health(models))
    if isinstance(observer, Metrics):
        app.include_router(metrics.router(observer))
    app.include_router(pages.router())
    return app
