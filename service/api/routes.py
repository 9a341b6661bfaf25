"""Routes: addresses and their queries, nothing else.

POST /v1/classify /v1/segment /v1/detect /v1/ground /v1/analyze     the same without /v1
GET  /v1/models  /v1/models/{name}  /v1/models/{name}/versions/{version}
GET  /health/live  /health/ready
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from radiograph.manifest import Task
from service.api import openapi, schemas
from service.api.answers import Answerer, Question
from service.errors import NotReady
from service.served import Served
from service.versions import Entry


def tasks(answerer: Answerer, prefix: str) -> APIRouter:
    """What can be asked of a radiograph."""
    router = APIRouter(prefix=prefix, tags=["Radiographs"])

    @router.post("/classify", **openapi.task(schemas.ClassifyAnswer))
    async def classify(request: Request, query: Annotated[schemas.ModelQuery, Query()]) -> Response:
        """Findings with calibrated probabilities."""
        return await answerer.answer(request, _question(query, Task.CLASSIFY))

    @router.post("/segment", **openapi.task(schemas.SegmentAnswer))
    async def segment(request: Request, query: Annotated[schemas.ModelQuery, Query()]) -> Response:
        """Masks of lungs and other structures, in source pixels."""
        return await answerer.answer(request, _question(query, Task.SEGMENT))

    @router.post("/detect", **openapi.task(schemas.DetectAnswer))
    async def detect(request: Request, query: Annotated[schemas.ModelQuery, Query()]) -> Response:
        """Boxes around findings, in source pixels."""
        return await answerer.answer(request, _question(query, Task.DETECT))

    @router.post("/ground", **openapi.task(schemas.GroundAnswer, phrases=True))
    async def ground(request: Request, query: Annotated[schemas.GroundQuery, Query()]) -> Response:
        """Where a phrase is in the radiograph: similarity, heat map, peak and box."""
        return await answerer.answer(request, _grounding(query, (Task.GROUND,)))

    @router.post("/analyze", **openapi.task(schemas.AnalyzeAnswer, phrases=True))
    async def analyze(
        request: Request, query: Annotated[schemas.AnalyzeQuery, Query()]
    ) -> Response:
        """Several tasks at once; the image runs through the model's trunk a single time."""
        return await answerer.answer(request, _grounding(query, query.asked()))

    return router


def models(loaded: Served, default_model: str) -> APIRouter:
    """What is loaded."""
    router = APIRouter(prefix="/v1/models", tags=["Models"])

    @router.get("", responses=openapi.PROBLEMS_OF_ANY)
    async def list_models() -> schemas.ModelList:
        """Every model with the versions that its aliases point to."""
        names = dict.fromkeys([*(entry.name for entry in loaded.entries()), *loaded.faults()])
        return schemas.ModelList(
            models=[_model(name, loaded, default=name == default_model) for name in names]
        )

    @router.get("/{name}", responses=openapi.PROBLEMS_OF_MODELS)
    async def show_model(name: str) -> schemas.ModelSummary:
        """One model with the versions that its aliases point to."""
        loaded.find_model(name)
        return _model(name, loaded, default=name == default_model)

    @router.get("/{name}/versions/{version}", responses=openapi.PROBLEMS_OF_MODELS)
    async def show_version(name: str, version: str) -> schemas.VersionDetail:
        """One version, by number or alias: manifest, state and digest."""
        return _detail(loaded.find(name, version))

    return router


def health(loaded: Served) -> APIRouter:
    """Probes. They read a table and compute nothing."""
    router = APIRouter(prefix="/health", tags=["Health"])

    @router.get("/live", responses=openapi.PROBLEMS_OF_ANY)
    async def live() -> schemas.Health:
        """The process answers."""
        return schemas.Health(status="live")

    @router.get("/ready", responses=openapi.PROBLEMS_OF_READINESS)
    async def ready() -> schemas.Health:
        """The default model answers."""
        if not loaded.default_is_ready():
            raise NotReady("the default model does not answer (yet); /v1/models says why")
        return schemas.Health(status="ready")

    return router


def _question(query: schemas.ModelQuery, task: Task) -> Question:
    return Question(tasks=(task,), model=query.model, version=query.version)


def _grounding(query: schemas.GroundQuery, asked: tuple[Task, ...]) -> Question:
    return Question(
        tasks=asked,
        phrases=tuple(query.phrase),
        method=query.method,
        heatmap=query.heatmap,
        model=query.model,
        version=query.version,
    )


def _model(name: str, loaded: Served, *, default: bool) -> schemas.ModelSummary:
    versions = [_summary(entry) for entry in loaded.entries() if entry.name == name]
    return schemas.ModelSummary(
        name=name, default=default, reason=loaded.faults().get(name), versions=versions
    )


def _summary(entry: Entry) -> schemas.VersionSummary:
    return schemas.VersionSummary(
        version=entry.version,
        state=entry.state,
        aliases=list(entry.aliases),
        wanted_by=list(entry.wanted_by),
        digest=entry.digest,
        tasks=list(entry.analysis.manifest.tasks) if entry.analysis else [],
    )


def _detail(entry: Entry) -> schemas.VersionDetail:
    return schemas.VersionDetail(
        **_summary(entry).model_dump(),
        name=entry.name,
        reason=entry.reason,
        providers=list(entry.providers),
        manifest=entry.analysis.manifest if entry.analysis else None,
    )
