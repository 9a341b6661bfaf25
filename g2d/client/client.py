"""Client of a service for programs without an event loop."""

import itertools
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import httpx

from g2d import sources
from g2d.client.exchange import DEFAULT_TIMEOUT_S, MAX_BYTES, Outcome, Target, result
from g2d.client.retries import Retries
from g2d.results import Result
from g2d.sources import Source
from g2d.tasks import Answers, Many, Question


class Client(Answers):
    """Asks a running service; its methods and results are those of `g2d.load`.

    Several radiographs are sent side by side, so that the service can batch them. It may be called
    from several threads. `close`, or a `with` block, closes the connections.

    Args:
        url: address of the service, such as http://127.0.0.1:8000, with the prefix of a proxy.
        key: API key or token; None for a service that asks for none.
        model: name of the model; that of the service by default.
        version: number or alias; that of the service by default.
        timeout_s: seconds without any progress after which an attempt is given up.
        retries: how often a request is sent again.
        concurrency: number of radiographs that are sent side by side.
        transport: replaces the network, for tests and proxies.
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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Prepare the connections; nothing is sent yet.

        Raises:
            ValueError: the address is not that of a web service.
        """
        self._target = Target(url, key, model, None if version is None else str(version))
        self._retries = retries or Retries()
        self._concurrency = concurrency
        self._http = httpx.Client(**self._target.options, timeout=timeout_s, transport=transport)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<g2d.Client {self._target.url}>"

    def _one(self, question: Question, source: Source) -> Result:
        with sources.named(source):
            data = sources.read(source, MAX_BYTES)
            outcome = self._send(self._target.request(question, data))
            return result(outcome, self._target, sources.kept(source, data))

    def _each(self, question: Question, sources: Many) -> Iterator[Result]:
        waiting: deque[Future[Result]] = deque()
        with ThreadPoolExecutor(self._concurrency) as pool:
            try:
                for source in sources:
                    waiting.append(pool.submit(self._one, question, source))
                    if len(waiting) > self._concurrency:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _send(self, request: dict[str, Any]) -> Outcome:
        """Send a request, again where that may help, and return the last outcome."""
        for done in itertools.count(1):
            outcome = self._attempt(request)
            wait_s = self._retries.wait_s(done, outcome)
            if wait_s is None:
                break
            time.sleep(wait_s)
        return outcome

    def _attempt(self, request: dict[str, Any]) -> Outcome:
        try:
            return self._http.request(**request)
        except httpx.HTTPError as error:
            return error
