"""Liveness and readiness probes.

GET /health/live  /health/ready
"""

from fastapi import APIRouter

from service.api.schemas import openapi
from service.api.schemas.models import Health
from service.errors import NotReady
from service.registry.lookup import VersionLookup


def health_router(versions: VersionLookup) -> APIRouter:
    """Return the probes. They read the routing table and compute nothing."""
    router = APIRouter(prefix="/health", tags=["Health"])

    @router.get("/live", responses=openapi.PROBLEMS_OF_ANY)
    async def live() -> Health:
        """The process is running."""
        return Health(status="live")

    @router.get("/ready", responses=openapi.PROBLEMS_OF_READINESS)
    async def ready() -> Health:
        """The default model is ready."""
        if not versions.default_is_ready():
            raise NotReady("the default model is not ready; see /v1/models for the reason")
        return Health(status="ready")

    return router
