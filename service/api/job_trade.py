"""Job trade: items of jobs answered by the loaded versions, as requests are.

They take no place from requests, and the engine gives them the smallest share of its batches.
"""

import uuid
from collections.abc import Mapping
from typing import Any

from radiograph.errors import ModelNotFound, RadiographError
from service.analysis import AnalysisRequest
from service.api import problems
from service.api.answers import Answerer, Question
from service.api.intake import Upload
from service.jobs.model import JobQuestion
from service.jobs.trade import Trade
from service.loading import Models


def of(models: Models, answerer: Answerer) -> Trade:
    """What the runner needs to answer items."""

    async def answer(
        data: bytes, media_type: str, question: JobQuestion
    ) -> tuple[bytes, bytes | None]:
        identity = models.ready(question.model, str(question.version)).identity
        if identity != question.identity:
            raise ModelNotFound(f"{question.identity} is no longer what the job was accepted for")
        upload = Upload(data, media_type)
        request_id = uuid.uuid4().hex
        found = await answerer.analyse(
            upload, _asked(question), request_id=request_id, overlay=question.overlay
        )
        return found.data, found.overlay

    return Trade(answer, describe)


def check(models: Models, question: JobQuestion) -> None:
    """Refuse now what every item would be refused for.

    Raises:
        RadiographError: the version does not answer such a question.
    """
    asked = AnalysisRequest(question.tasks, question.phrases, question.method)
    models.ready(question.model, str(question.version)).plan(asked)


def describe(error: Exception) -> Mapping[str, Any]:
    """Why an item has no answer, without a word that could be a patient's."""
    known = error if isinstance(error, RadiographError) else RadiographError()
    return problems.describe(known)


def _asked(question: JobQuestion) -> Question:
    return Question(
        tasks=question.tasks,
        phrases=question.phrases,
        method=question.method,
        heatmap=question.heatmap,
        model=question.model,
        version=str(question.version),
    )
