"""Prediction of single job items by the version that the job was accepted for.

A job is answered by one version from its first item to its last, whichever version an alias
points to in the meantime. That version is held from one item to the next, and is loaded again
after a restart. Items take no place from HTTP requests, and the batcher gives them its smallest
share.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from radiograph.errors import ModelNotFound
from service.dataplane.predictor import EncodedPrediction, Predictor
from service.dataplane.query import Upload
from service.inference.analysis import Analysis
from service.jobs.job import JobQuery
from service.registry.registry import ModelRegistry
from service.registry.state import LoadedVersion


class ItemPredictor:
    """Predicts items, and holds the version that the latest items asked for.

    Args:
        registry: loads versions that no alias points to any more.
        predictor: answers each item.
    """

    def __init__(self, registry: ModelRegistry, predictor: Predictor) -> None:
        self._registry = registry
        self._predictor = predictor
        self._held: _HeldVersion | None = None
        self._changing = asyncio.Lock()

    async def predict(self, data: bytes, media_type: str, query: JobQuery) -> EncodedPrediction:
        """Answer one item.

        Raises:
            ModelNotFound: the version was removed, or replaced by one of the same number.
            RadiographError: as for an HTTP request.
        """
        async with self._version(query) as analysis:
            return await self._predictor.predict(
                Upload(data, media_type),
                query.prediction_query(),
                overlay=query.overlay,
                objects=query.store or bool(query.objects),
                analysis=analysis,
                request_id=uuid.uuid4().hex,
            )

    def release_idle(self) -> None:
        """Release the held version as soon as no item is running on it."""
        if self._held is not None:
            self._held.keep = False
            self._held.release_if_unused()
            self._held = None

    @asynccontextmanager
    async def _version(self, query: JobQuery) -> AsyncIterator[Analysis]:
        held = await self._hold(query)
        held.running += 1
        try:
            yield held.loaded.analysis
        finally:
            held.running -= 1
            held.release_if_unused()

    async def _hold(self, query: JobQuery) -> "_HeldVersion":
        async with self._changing:
            if self._held is None or self._held.identity != query.identity:
                loaded = await asyncio.to_thread(self._registry.hold, query.model, query.version)
                if loaded.analysis.identity != query.identity:
                    loaded.release()
                    raise ModelNotFound(
                        f"{query.identity} is no longer the version that the job was accepted for"
                    )
                self.release_idle()
                self._held = _HeldVersion(loaded)
            return self._held


class _HeldVersion:
    """A version that is kept while items run on it, and between items.

    Attributes:
        running: number of items that run on it.
        keep: hold it for the next item as well.
    """

    def __init__(self, loaded: LoadedVersion) -> None:
        self.loaded = loaded
        self.identity = loaded.analysis.identity
        self.running = 0
        self.keep = True

    def release_if_unused(self) -> None:
        """Release the version once it is neither kept nor in use."""
        if not self.running and not self.keep:
            self.loaded.release()
