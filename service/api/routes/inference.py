"""Routes: addresses and their queries, nothing else.

POST /v1/classify /v1/segment /v1/detect /v1/ground /v1/analyze     the same without /v1
GET  /v1/models  /v1/models/{name}  /v1/models/{name}/versions/{version}
GET  /health/live  /health/ready
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from radiograph.manifest import Task
from service.api.schemas import inference, openapi
from service.dataplane.predictor import Predictor
from service.dataplane.query import PredictionQuery


def tasks(answerer: Predictor, prefix: str) -> APIRouter:
    """What can be asked of a radiograph."""
    router = APIRouter(prefix=prefix, tags=["Radiographs"])

    @router.post("/classify", **openapi.task(inference.ClassifyAnswer))
    async def classify(
        request: Request, query: Annotated[inference.ModelQuery, Query()]
    ) -> Response:
        """Findings with calibrated probabilities."""
        return await answerer.answer(request, _question(query, Task.CLASSIFY))

    @router.post("/segment", **openapi.task(inference.SegmentAnswer))
    async def segment(
        request: Request, query: Annotated[inference.ModelQuery, Query()]
    ) -> Response:
        """Masks of lungs and other structures, in source pixels."""
        return await answerer.answer(request, _question(query, Task.SEGMENT))

    @router.post("/detect", **openapi.task(inference.DetectAnswer))
    async def detect(request: Request, query: Annotated[inference.ModelQuery, Query()]) -> Response:
        """Boxes around findings, in source pixels."""
        return await answerer.answer(request, _question(query, Task.DETECT))

    @router.post("/ground", **openapi.task(inference.GroundAnswer, phrases=True))
    async def ground(
        request: Request, query: Annotated[inference.GroundQuery, Query()]
    ) -> Response:
        """Where a phrase is in the radiograph: similarity, heat map, peak and box."""
        return await answerer.answer(request, _grounding(query, (Task.GROUND,)))

    @router.post("/analyze", **openapi.task(inference.AnalyzeAnswer, phrases=True))
    async def analyze(
        request: Request, query: Annotated[inference.AnalyzeQuery, Query()]
    ) -> Response:
        """Several tasks at once; the image runs through the model's trunk a single time."""
        return await answerer.answer(request, _grounding(query, query.asked()))

    return router


def _question(query: inference.ModelQuery, task: Task) -> PredictionQuery:
    return PredictionQuery(tasks=(task,), model=query.model, version=query.version)


def _grounding(query: inference.GroundQuery, asked: tuple[Task, ...]) -> PredictionQuery:
    return PredictionQuery(
        tasks=asked,
        phrases=tuple(query.phrase),
        method=query.method,
        heatmap=query.heatmap,
        model=query.model,
        version=query.version,
    )
