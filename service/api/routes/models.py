"""Endpoints that list and describe the loaded models.

GET /v1/models  /v1/models/{name}  /v1/models/{name}/versions/{version}
GET /v1/models/{name}/versions/{version}/card
"""

from fastapi import APIRouter, Response

from radiograph.errors import ModelNotFound
from service.api.schemas import models, openapi
from service.registry.lookup import VersionLookup
from service.registry.state import VersionStatus


def models_router(versions: VersionLookup, default_model: str) -> APIRouter:
    """Return the endpoints of the loaded models.

    Args:
        versions: the versions that are served.
        default_model: model that answers when a request names none.
    """
    router = APIRouter(prefix="/v1/models", tags=["Models"])

    @router.get("", responses=openapi.PROBLEMS_OF_ANY)
    async def list_models() -> models.ModelList:
        """Every model with the versions that its aliases point to."""
        names = dict.fromkeys(
            [*(status.name for status in versions.versions()), *versions.faults()]
        )
        return models.ModelList(
            models=[_model(name, versions, default=name == default_model) for name in names]
        )

    @router.get("/{name}", responses=openapi.PROBLEMS_OF_MODELS)
    async def show_model(name: str) -> models.ModelSummary:
        """One model with the versions that its aliases point to."""
        versions.find_model(name)
        return _model(name, versions, default=name == default_model)

    @router.get("/{name}/versions/{version}", responses=openapi.PROBLEMS_OF_MODELS)
    async def show_version(name: str, version: str) -> models.VersionDetail:
        """One version, by number or alias: manifest, state and digest."""
        return _detail(versions.find(name, version))

    @router.get(
        "/{name}/versions/{version}/card", response_class=Response, responses=openapi.MODEL_CARD
    )
    async def show_card(name: str, version: str) -> Response:
        """Model card of one version: Markdown for people."""
        analysis = versions.find(name, version).analysis
        if analysis is None or analysis.card is None:
            raise ModelNotFound("the version has no model card, or is not loaded")
        return Response(analysis.card, media_type=openapi.MARKDOWN)

    return router


def _model(name: str, versions: VersionLookup, *, default: bool) -> models.ModelSummary:
    return models.ModelSummary(
        name=name,
        default=default,
        reason=versions.faults().get(name),
        versions=[_summary(status) for status in versions.versions() if status.name == name],
    )


def _summary(status: VersionStatus) -> models.VersionSummary:
    return models.VersionSummary(
        version=status.version,
        state=status.state,
        aliases=list(status.aliases),
        wanted_by=list(status.wanted_by),
        digest=status.digest,
        tasks=list(status.analysis.manifest.tasks) if status.analysis else [],
    )


def _detail(status: VersionStatus) -> models.VersionDetail:
    return models.VersionDetail(
        **_summary(status).model_dump(),
        name=status.name,
        reason=status.reason,
        providers=list(status.providers),
        variant=status.loaded.analysis.identity.variant if status.loaded else None,
        manifest=status.analysis.manifest if status.analysis else None,
    )
