"""Endpoints that list and describe the loaded models.

GET  /v1/models  /v1/models/{name}  /v1/models/{name}/versions/{version}
"""

from fastapi import APIRouter

from service.api.schemas import inference, openapi
from service.registry.lookup import VersionLookup
from service.registry.state import VersionStatus


def models(loaded: VersionLookup, default_model: str) -> APIRouter:
    """What is loaded."""
    router = APIRouter(prefix="/v1/models", tags=["Models"])

    @router.get("", responses=openapi.PROBLEMS_OF_ANY)
    async def list_models() -> inference.ModelList:
        """Every model with the versions that its aliases point to."""
        names = dict.fromkeys([*(status.name for status in loaded.versions()), *loaded.faults()])
        return inference.ModelList(
            models=[_model(name, loaded, default=name == default_model) for name in names]
        )

    @router.get("/{name}", responses=openapi.PROBLEMS_OF_MODELS)
    async def show_model(name: str) -> inference.ModelSummary:
        """One model with the versions that its aliases point to."""
        loaded.find_model(name)
        return _model(name, loaded, default=name == default_model)

    @router.get("/{name}/versions/{version}", responses=openapi.PROBLEMS_OF_MODELS)
    async def show_version(name: str, version: str) -> inference.VersionDetail:
        """One version, by number or alias: manifest, state and digest."""
        return _detail(loaded.find(name, version))

    return router


def _model(name: str, loaded: VersionLookup, *, default: bool) -> inference.ModelSummary:
    versions = [_summary(status) for status in loaded.versions() if status.name == name]
    return inference.ModelSummary(
        name=name, default=default, reason=loaded.faults().get(name), versions=versions
    )


def _summary(status: VersionStatus) -> inference.VersionSummary:
    return inference.VersionSummary(
        version=status.version,
        state=status.state,
        aliases=list(status.aliases),
        wanted_by=list(status.wanted_by),
        digest=status.digest,
        tasks=list(status.analysis.manifest.tasks) if status.analysis else [],
    )


def _detail(status: VersionStatus) -> inference.VersionDetail:
    return inference.VersionDetail(
        **_summary(status).model_dump(),
        name=status.name,
        reason=status.reason,
        providers=list(status.providers),
        manifest=status.analysis.manifest if status.analysis else None,
    )
