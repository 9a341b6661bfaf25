"""GET /metrics: what Prometheus scrapes."""

from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.schemas import openapi
from service.observability.metrics import Metrics

_TEXT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Prometheus text; OpenMetrics where `Accept` asks for it.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


def router(metrics: Metrics) -> APIRouter:
    """The address of the metrics."""
    router = APIRouter(tags=["Health"])

    @router.get("/metrics", response_class=Response, responses={**_TEXT, **openapi.PROBLEMS_OF_ANY})
    def scrape(request: Request) -> Response:
        """Every metric of this process; no patient data is among them."""
        data, media_type = metrics.render(request.headers.get("accept", ""))
        return Response(data, headers={"content-type": media_type, "cache-control": "no-store"})

    return router
