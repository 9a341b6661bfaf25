"""The service as one ASGI application: its components behind their endpoints."""

from fastapi import FastAPI

from service.api.http import browsers, problems
from service.api.http.access import requires
from service.api.http.middleware import RequestContextMiddleware
from service.api.lifespan import Components, build_components
from service.api.pages import pages_router
from service.api.routes.admin import admin_router
from service.api.routes.health import health_router
from service.api.routes.inference import InferenceHandler, inference_router
from service.api.routes.jobs import jobs_router
from service.api.routes.metrics import metrics_router
from service.api.routes.models import models_router
from service.api.schemas import openapi
from service.auth.principal import Scope
from service.backends.base import BackendFactory
from service.decoding.pool import DecoderPool
from service.observability.metrics.service_metrics import Metrics
from service.observability.observer import NULL_OBSERVER, Observer
from service.observability.tracing.tracing import Tracing
from service.settings import Settings


def create_app(
    settings: Settings,
    backends: BackendFactory | None = None,
    observer: Observer | None = None,
    tracing: Tracing | None = None,
    decoders: DecoderPool | None = None,
) -> FastAPI:
    """Create the service as an ASGI application.

    Args:
        settings: settings of the service.
        backends: builds the backend of a version; chosen by the settings by default.
        observer: receives events; by default the metrics that `GET /metrics` returns.
        tracing: starts the spans of requests; by default no request is traced.
        decoders: pool that decodes files, started and closed by the caller; by default the
            application has its own.

    Raises:
        ProviderUnavailable: the hardware that the settings ask for is not usable.
    """
    if observer is None:
        observer = Metrics() if settings.server.metrics else NULL_OBSERVER
    components = build_components(settings, backends, observer, tracing, decoders)
    app = _new_application(components)
    app.state.components = components
    app.state.observer = observer
    browsers.install(app, settings.web)
    app.add_middleware(RequestContextMiddleware, observer=observer, tracing=tracing)
    problems.install(app)
    openapi.install(app)
    _add_routes(app, components, settings, observer)
    return app


def _new_application(components: Components) -> FastAPI:
    """Create an application without endpoints."""
    return FastAPI(
        title=openapi.TITLE,
        description=openapi.DESCRIPTION,
        version="1",
        lifespan=components.lifespan,
        docs_url=None,
        redoc_url=None,
        # A redirect would be an absolute URL made from the Host header of the client, so that the
        # radiograph could be sent elsewhere, and in the clear.
        redirect_slashes=False,
        # The spans of the framework would contain the query, and thus possibly a phrase.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )


def _add_routes(
    app: FastAPI, components: Components, settings: Settings, observer: Observer
) -> None:
    """Add every endpoint, in the order of the documentation."""
    handler = InferenceHandler(
        components.predictor,
        components.admission,
        components.shadows,
        settings.limits,
        components.auditor,
    )
    access = components.access
    infer = requires(access, Scope.INFER)
    for prefix in ("/v1", ""):
        router = inference_router(handler, prefix)
        app.include_router(router, include_in_schema=bool(prefix), dependencies=infer)
    models = models_router(components.registry.lookup, settings.models.default_model)
    app.include_router(models, dependencies=infer)
    app.include_router(admin_router(components.registry, settings, access, components.auditor))
    if components.job_service is not None:
        jobs = jobs_router(components.job_service, settings)
        app.include_router(jobs, dependencies=requires(access, Scope.JOBS))
    app.include_router(
        health_router(components.registry.lookup, components.auditor, components.store)
    )
    if isinstance(observer, Metrics):
        scrape = requires(access, Scope.METRICS)
        app.include_router(metrics_router(observer), dependencies=scrape)
    app.include_router(pages_router())
