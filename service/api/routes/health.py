"""Liveness and readiness probes.

GET /health/live  /health/ready
"""

from fastapi import APIRouter

from service.api.schemas import openapi
from service.api.schemas.models import Health
from service.audit.auditor import Auditor
from service.errors import NotReady
from service.registry.lookup import VersionLookup
from service.registry.store_follower import StoreFollower


def health_router(versions: VersionLookup, auditor: Auditor, store: StoreFollower) -> APIRouter:
    """Return the probes. They read the routing table and compute nothing."""
    router = APIRouter(prefix="/health", tags=["Health"])

    @router.get("/live", response_model_exclude_none=True, responses=openapi.PROBLEMS_OF_ANY)
    async def live() -> Health:
        """The process is running."""
        return Health(status="live")

    @router.get("/ready", response_model_exclude_none=True, responses=openapi.PROBLEMS_OF_READINESS)
    async def ready() -> Health:
        """The default model is ready, and the audit log can be written if answers require it."""
        auditor.check()
        if not versions.default_is_ready():
            raise NotReady("the default model is not ready; see /v1/models for the reason")
        return Health(
            status="ready",
            audit="failing" if auditor.failing else None,
            models_store="failing" if store.failing else None,
        )

    return router
