"""Endpoint that Prometheus scrapes.

GET /metrics
"""

from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.http.header_fields import listed
from service.api.schemas import openapi
from service.observability.metrics.service_metrics import Metrics

_TEXT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Prometheus text format; OpenMetrics if `Accept` asks for it.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


def metrics_router(metrics: Metrics) -> APIRouter:
    """Return the endpoint of the metrics."""
    router = APIRouter(tags=["Health"])

    @router.get("/metrics", response_class=Response, responses={**_TEXT, **openapi.PROBLEMS_OF_ANY})
    def scrape(request: Request) -> Response:
        """Every metric of this process; none of them contains patient data."""
        data, media_type = metrics.render(listed(request, "accept") or "")
        return Response(data, headers={"content-type": media_type, "cache-control": "no-store"})

    return router
