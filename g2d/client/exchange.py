"""One exchange with the service, without any connection: what is sent, and what comes of it."""

from dataclasses import dataclass, field
from typing import Any

import httpx

from g2d.client.problems import error_of
from g2d.client.retries import retry_after_s
from g2d.errors import ServiceUnreachable
from g2d.results import Result
from g2d.sources import Source
from g2d.tasks import Question
from radiograph.errors import MalformedInput
from radiograph.readers.read import UNKNOWN
from service.errors import ServiceError

MAX_BYTES = 2**30
"""Largest radiograph that a client reads; the service has a lower limit of its own."""
DEFAULT_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Target:
    """The service, and the version that shall answer.

    Attributes:
        url: address of the service, with the prefix of a proxy if there is one.
        key: API key or token, or None.
        model: name of the model; None for the default one of the service.
        version: number or alias; None for the default one of the service.
    """

    url: str
    key: str | None = field(default=None, repr=False)
    model: str | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        """Refuse an address that no request could be sent to.

        Raises:
            ValueError: the address is not that of a web service.
        """
        url = httpx.URL(self.url)
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError(f"not the address of a service: {self.url!r}; try http://{self.url}")

    @property
    def options(self) -> dict[str, Any]:
        """Options of the connection pool."""
        headers = {"Accept": "application/json"}
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        return {"base_url": self.url, "headers": headers}

    def request(self, question: Question, data: bytes) -> dict[str, Any]:
        """Return method, path and content of the request.

        Phrases are part of a form, which keeps them out of the logs of proxies.
        """
        asked = {
            "model": self.model,
            "version": self.version,
            "tasks": ",".join(question.tasks) if question.endpoint == "analyze" else None,
            "method": question.method,
            "heatmap": question.heatmap if question.endpoint in ("ground", "analyze") else None,
            "uncertainty": "tta" if question.uncertainty else None,
        }
        request: dict[str, Any] = {
            "method": "POST",
            "url": f"v1/{question.endpoint}",
            "params": {name: value for name, value in asked.items() if value},
        }
        if question.phrases:
            form = {"phrase": list(question.phrases)}
            return {**request, "files": {"file": ("radiograph", data, UNKNOWN)}, "data": form}
        return {**request, "content": data, "headers": {"Content-Type": UNKNOWN}}


Outcome = httpx.Response | httpx.HTTPError
"""End of one attempt: a response, or the failure of the connection."""


def result(outcome: Outcome, target: Target, source: Source) -> Result:
    """Return the result of the last attempt.

    Raises:
        RadiographError: the error that the service met.
        ServiceUnreachable: no answer came.
        ServiceError: the answer is not that of this service.
    """
    if isinstance(outcome, httpx.HTTPError):
        late = isinstance(outcome, httpx.TimeoutException)
        reason = "no answer in time" if late else str(outcome) or type(outcome).__name__
        raise ServiceUnreachable(f"{target.url}: {reason}") from outcome
    if outcome.status_code != httpx.codes.OK:
        raise error_of(outcome, retry_after_s(outcome))
    try:
        return Result.from_json(outcome.content, source)
    except MalformedInput as error:
        raise ServiceError(f"{target.url}: the answer is not that of this service") from error
