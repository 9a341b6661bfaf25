"""Job trade: items of jobs answered by the loaded versions, as requests are.

They take no place from requests, and the engine gives them the smallest share of its batches.
A job is answered by the version that it was accepted for until its end, whatever is promoted
meanwhile: the version is held from one item to the next, and loaded again after a restart.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from radiograph.errors import ModelNotFound, RadiographError
from service.api.http import problems
from service.dataplane.predictor import Predictor
from service.dataplane.query import PredictionQuery, Upload
from service.inference.analysis import Analysis
from service.inference.types import AnalysisRequest
from service.jobs.job import JobQuestion
from service.jobs.trade import Trade
from service.registry.registry import ModelRegistry
from service.registry.state import LoadedVersion


def of(models: ModelRegistry, answerer: Predictor) -> Trade:
    """What the runner needs to answer items."""

    async def answer(
        data: bytes, media_type: str, question: JobQuestion
    ) -> tuple[bytes, bytes | None]:
        async with held.version(question) as analysis:
            found = await answerer.analyse(
                Upload(data, media_type),
                _asked(question),
                request_id=uuid.uuid4().hex,
                overlay=question.overlay,
                analysis=analysis,
            )
        return found.data, found.overlay

    held = _Held(models)
    return Trade(answer, describe, held.let_go)


class _Held:
    """The version that items are answered by, held until items ask for another one."""

    def __init__(self, models: ModelRegistry) -> None:
        self._models = models
        self._current: _Use | None = None
        self._changing = asyncio.Lock()

    @asynccontextmanager
    async def version(self, question: JobQuestion) -> AsyncIterator[Analysis]:
        """What answers a question, for the time of one item.

        Raises:
            ModelNotFound: it is gone, or another one by now.
            InvalidVersion, NotReady: it cannot be loaded (now).
        """
        use = await self._use(question)
        use.items += 1
        try:
            yield use.resident.analysis
        finally:
            use.items -= 1
            use.release_if_done()

    def let_go(self) -> None:
        """Hold nothing from one item to the next."""
        if self._current is not None:
            self._current.wanted = False
            self._current.release_if_done()
            self._current = None

    async def _use(self, question: JobQuestion) -> "_Use":
        async with self._changing:
            if self._current is None or self._current.identity != question.identity:
                resident = await asyncio.to_thread(
                    self._models.hold, question.model, question.version
                )
                if resident.analysis.identity != question.identity:
                    resident.release()
                    raise ModelNotFound(
                        f"{question.identity} is no longer what the job was accepted for"
                    )
                self.let_go()
                self._current = _Use(resident)
            return self._current


class _Use:
    """One version in use: by items that run, and for those to come."""

    def __init__(self, resident: LoadedVersion) -> None:
        self.resident = resident
        self.identity = resident.analysis.identity
        self.items = 0
        self.wanted = True

    def release_if_done(self) -> None:
        """Let the version go, once, when nobody needs it any more."""
        if not self.items and not self.wanted:
            self.resident.release()


def check(analysis: Analysis, question: JobQuestion) -> None:
    """Refuse now what every item would be refused for.

    Raises:
        RadiographError: the version does not answer such a question.
    """
    analysis.plan(AnalysisRequest(question.tasks, question.phrases, question.method))


def describe(error: Exception) -> Mapping[str, Any]:
    """Why an item has no answer, without a word that could be a patient's."""
    known = error if isinstance(error, RadiographError) else RadiographError()
    return problems.describe(known)


def _asked(question: JobQuestion) -> PredictionQuery:
    return PredictionQuery(
        tasks=question.tasks,
        phrases=question.phrases,
        method=question.method,
        heatmap=question.heatmap,
        model=question.model,
        version=str(question.version),
    )
