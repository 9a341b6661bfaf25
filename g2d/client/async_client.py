"""Client of a service for programs with an event loop."""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, cast, overload

import httpx

from g2d import sources
from g2d.client.exchange import DEFAULT_TIMEOUT_S, MAX_BYTES, Outcome, Target, result
from g2d.client.retries import Retries
from g2d.results import Result
from g2d.sources import Source, one_of
from g2d.tasks import HeatmapForm, Many, Method, Question, TaskName

One = Coroutine[Any, Any, Result]


class AsyncClient:
    """Asks a running service; the methods are those of `g2d.Client`, to be awaited.

        async with g2d.AsyncClient(url, key) as client:
            result = await client.segment("chest.dcm")
            async for result in client.classify(paths):
                ...

    Several radiographs are sent side by side and answered in order. Args are those of `g2d.Client`.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        *,
        model: str | None = None,
        version: str | int | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: Retries | None = None,
        concurrency: int = 4,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Prepare the connections; nothing is sent yet.

        Raises:
            ValueError: the address is not that of a web service.
        """
        self._target = Target(url, key, model, None if version is None else str(version))
        self._retries = retries or Retries()
        self._concurrency = concurrency
        self._http = httpx.AsyncClient(
            **self._target.options, timeout=timeout_s, transport=transport
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<g2d.AsyncClient {self._target.url}>"

    @overload
    def classify(self, source: Source) -> One: ...  # type: ignore[overload-overlap] # a str is one
    @overload
    def classify(self, source: Many) -> AsyncIterator[Result]: ...
    def classify(self, source: Source | Many) -> One | AsyncIterator[Result]:
        """Give findings with calibrated probabilities (`Result.findings`)."""
        return self._ask(Question.of("classify"), source)

    @overload
    def segment(self, source: Source) -> One: ...  # type: ignore[overload-overlap] # as above
    @overload
    def segment(self, source: Many) -> AsyncIterator[Result]: ...
    def segment(self, source: Source | Many) -> One | AsyncIterator[Result]:
        """Give masks of structures, and what is measured in them."""
        return self._ask(Question.of("segment"), source)

    @overload
    def detect(self, source: Source) -> One: ...  # type: ignore[overload-overlap] # as above
    @overload
    def detect(self, source: Many) -> AsyncIterator[Result]: ...
    def detect(self, source: Source | Many) -> One | AsyncIterator[Result]:
        """Give boxes around findings and structures, best first."""
        return self._ask(Question.of("detect"), source)

    @overload
    def ground(  # type: ignore[overload-overlap] # as above
        self,
        source: Source,
        phrases: str | Iterable[str],
        *,
        method: Method | None = None,
        heatmap: HeatmapForm = "png",
    ) -> One: ...
    @overload
    def ground(
        self,
        source: Many,
        phrases: str | Iterable[str],
        *,
        method: Method | None = None,
        heatmap: HeatmapForm = "png",
    ) -> AsyncIterator[Result]: ...
    def ground(
        self,
        source: Source | Many,
        phrases: str | Iterable[str],
        *,
        method: Method | None = None,
        heatmap: HeatmapForm = "png",
    ) -> One | AsyncIterator[Result]:
        """Locate one phrase or several: heat map, peak and boxes, or "not found"."""
        question = Question.about("ground", ("ground",), phrases, method, heatmap)
        return self._ask(question, source)

    @overload
    def analyze(  # type: ignore[overload-overlap] # as above
        self,
        source: Source,
        tasks: Iterable[TaskName] = (),
        phrases: str | Iterable[str] = (),
        *,
        method: Method | None = None,
        heatmap: HeatmapForm = "png",
        uncertainty: bool = False,
    ) -> One: ...
    @overload
    def analyze(
        self,
        source: Many,
        tasks: Iterable[TaskName] = (),
        phrases: str | Iterable[str] = (),
        *,
        method: Method | None = None,
        heatmap: HeatmapForm = "png",
        uncertainty: bool = False,
    ) -> AsyncIterator[Result]: ...
    def analyze(
        self,
        source: Source | Many,
        tasks: Iterable[TaskName] = (),
        phrases: str | Iterable[str] = (),
        *,
        method: Method | None = None,
        heatmap: HeatmapForm = "png",
        uncertainty: bool = False,
    ) -> One | AsyncIterator[Result]:
        """Perform several tasks at once; by default all that the version offers.

        With `uncertainty`, each result also says how far it holds under harmless changes of the
        radiograph, at eight times the cost.
        """
        question = Question.about("analyze", tasks, phrases, method, heatmap)
        question = replace(question, uncertainty=uncertainty)
        return self._ask(question, source)

    def _ask(self, question: Question, source: Source | Many) -> One | AsyncIterator[Result]:
        one = one_of(source)
        if one is not None:
            return self._one(question, one)
        return self._each(question, cast("Many", source))

    async def _one(self, question: Question, source: Source) -> Result:
        with sources.named(source):
            data = await asyncio.to_thread(sources.read, source, MAX_BYTES)
            outcome = await self._send(self._target.request(question, data))
            return result(outcome, self._target, sources.kept(source, data))

    async def _each(self, question: Question, sources: Many) -> AsyncIterator[Result]:
        waiting: deque[asyncio.Task[Result]] = deque()
        try:
            for source in sources:
                waiting.append(asyncio.create_task(self._one(question, source)))
                if len(waiting) >= self._concurrency:
                    yield await waiting.popleft()
            while waiting:
                yield await waiting.popleft()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _send(self, request: dict[str, Any]) -> Outcome:
        """Send a request, again where that may help, and return the last outcome."""
        for done in itertools.count(1):
            outcome = await self._attempt(request)
            wait_s = self._retries.wait_s(done, outcome)
            if wait_s is None:
                break
            await asyncio.sleep(wait_s)
        return outcome

    async def _attempt(self, request: dict[str, Any]) -> Outcome:
        try:
            return await self._http.request(**request)
        except httpx.HTTPError as error:
            return error
