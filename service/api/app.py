"""create_app: the parts of the service behind their addresses, as one ASGI application."""

from fastapi import FastAPI

from service.api import pages
from service.api.http import problems
from service.api.http.middleware import RequestContextMiddleware
from service.api.lifespan import Components, build_components
from service.api.routes import admin, health, inference, jobs, metrics, models
from service.api.schemas import openapi
from service.decoding.pool import DecoderPool
from service.observability.metrics import Metrics
from service.observability.observer import NULL_OBSERVER, Observer
from service.observability.tracing import Tracing
from service.registry.loader import BackendFactory
from service.settings import Settings


def create_app(
    settings: Settings,
    backends: BackendFactory | None = None,
    observer: Observer | None = None,
    tracing: Tracing | None = None,
    decoders: DecoderPool | None = None,
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
        observer = Metrics() if settings.server.metrics else NULL_OBSERVER
    parts = build_components(settings, backends, observer, tracing, decoders)
    app = _framework(parts)
    app.state.models, app.state.admission = parts.models, parts.admission
    app.state.answerer, app.state.engine = parts.answerer, parts.engine
    app.add_middleware(RequestContextMiddleware, observer=observer, tracing=tracing)
    problems.install(app)
    openapi.install(app)
    _add_routes(app, parts, settings, observer)
    return app


def _framework(parts: Components) -> FastAPI:
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


def _add_routes(app: FastAPI, parts: Components, settings: Settings, observer: Observer) -> None:
    """Every address, in the order that the documentation shows."""
    for prefix in ("/v1", ""):
        app.include_router(inference.tasks(parts.answerer, prefix), include_in_schema=bool(prefix))
    app.include_router(models.models(parts.models.lookup, settings.models.default_model))
    app.include_router(admin.router(parts.models, settings))
    if parts.desk is not None:
        app.include_router(jobs.router(parts.desk, listing=settings.jobs.list))
    app.include_router(health.health(parts.models.lookup))
    if isinstance(observer, Metrics):
        app.include_router(metrics.router(observer))
    app.include_router(pages.router())
