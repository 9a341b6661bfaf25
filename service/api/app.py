"""create_app: the parts of the service behind their addresses, as one ASGI application."""

from fastapi import FastAPI

from service.api import admin, jobs, metrics, openapi, pages, problems, routes
from service.api.middleware import RequestContext
from service.api.parts import Parts, put_together
from service.decoding import Decoders
from service.events import NOBODY, Observer
from service.metrics import Metrics
from service.opening import BackendFactory
from service.settings import Settings
from service.tracing import Tracing


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
    parts = put_together(settings, backends, observer, tracing, decoders)
    app = _framework(parts)
    app.state.models, app.state.admission = parts.models, parts.admission
    app.state.answerer, app.state.engine = parts.answerer, parts.engine
    app.add_middleware(RequestContext, observer=observer, tracing=tracing)
    problems.install(app)
    openapi.install(app)
    _add_routes(app, parts, settings, observer)
    return app


def _framework(parts: Parts) -> FastAPI:
    """The application without an address."""
    return FastAPI(
        title=openapi.TITLE,
        description=openapi.DESCRIPTION,
        version="1",
        lifespan=parts.running,
        docs_url=None,
        redoc_url=None,
        # The framework's own spans would hold the query, and so perhaps a phrase.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )


def _add_routes(app: FastAPI, parts: Parts, settings: Settings, observer: Observer) -> None:
    """Every address, in the order that the documentation shows."""
    for prefix in ("/v1", ""):
        app.include_router(routes.tasks(parts.answerer, prefix), include_in_schema=bool(prefix))
    app.include_router(routes.models(parts.models, settings.default_model))
    app.include_router(admin.router(parts.models, settings))
    if parts.desk is not None:
        app.include_router(jobs.router(parts.desk, listing=settings.jobs_list))
    app.include_router(routes.health(parts.models))
    if isinstance(observer, Metrics):
        app.include_router(metrics.router(observer))
    app.include_router(pages.router())
