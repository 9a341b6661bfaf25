"""Liveness and readiness probes.

GET  /health/live  /health/ready
"""

from fastapi import APIRouter

from service.api.schemas import inference, openapi
from service.errors import NotReady
from service.registry.lookup import VersionLookup


def health(loaded: VersionLookup) -> APIRouter:
    """Probes. They read a table and compute nothing."""
    router = APIRouter(prefix="/health", tags=["Health"])

    @router.get("/live", responses=openapi.PROBLEMS_OF_ANY)
    async def live() -> inference.Health:
        """The process answers."""
        return inference.Health(status="live")

    @router.get("/ready", responses=openapi.PROBLEMS_OF_READINESS)
    async def ready() -> inference.Health:
        """The default model answers."""
        if not loaded.default_is_ready():
            raise NotReady("the default model does not answer (yet); /v1/models says why")
        return inference.Health(status="ready")

    return router
