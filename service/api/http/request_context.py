"""Context of one HTTP request, kept in its ASGI scope.

X-Request-Id, traceparent -> RequestContext -> log line, response headers, problems
"""

import re
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from starlette.types import Scope

from service.auth.principal import NOBODY, Principal
from service.inference.results import ModelIdentity

_KEY = "g2d.context"
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Version ff and identifiers that consist of zeros are invalid (W3C Trace Context).
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)


@dataclass
class RequestContext:
    """Facts about one request that accumulate while it is answered.

    Attributes:
        request_id: identifier from the client if it is short and safe, otherwise a new one.
        traceparent: W3C Trace Context of the client, or of our span if requests are traced.
        peer: address of the client, which is never logged.
        principal: the client, as far as it is known; every request has one.
        model: version that answers, once it is known.
        timings_ms: milliseconds by stage, for Server-Timing.
        problem: kind of the problem in the response, or None.
        started: `time.perf_counter` at the arrival of the request.
    """

    request_id: str
    traceparent: str | None = None
    peer: str = ""
    principal: Principal = NOBODY
    model: ModelIdentity | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    problem: str | None = None
    started: float = field(default_factory=time.perf_counter)

    @property
    def client(self) -> str:
        """The client that takes turns with others: its identity, or else its address."""
        return self.principal.owner or self.peer

    def elapsed_ms(self) -> float:
        """Return the milliseconds since the request arrived."""
        return (time.perf_counter() - self.started) * 1e3

    def log_fields(self) -> dict[str, str]:
        """Return the fields that identify the request, and its trace, in the log."""
        if self.traceparent is None:
            return {"id": self.request_id}
        _, trace_id, span_id, _ = self.traceparent.split("-")
        return {"id": self.request_id, "trace_id": trace_id, "span_id": span_id}

    def headers(self) -> dict[str, str]:
        """Return the headers of every response."""
        headers = {
            "x-request-id": self.request_id,
            "server-timing": self._server_timing(),
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
        }
        if self.traceparent is not None:
            headers["traceparent"] = self.traceparent
        if self.model is not None:
            headers["x-model-version"] = str(self.model)
        return headers

    def _server_timing(self) -> str:
        stages = {**self.timings_ms, "total": self.elapsed_ms()}
        return ", ".join(f"{name};dur={ms:.3f}" for name, ms in stages.items())


def open_context(scope: Scope) -> RequestContext:
    """Create the context of a request and keep it in the scope."""
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    received = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    request_id = received.get("x-request-id", "")
    traceparent = received.get("traceparent", "")
    context = RequestContext(
        request_id=request_id if _REQUEST_ID.fullmatch(request_id) else uuid.uuid4().hex,
        peer=(scope.get("client") or ("",))[0],
        traceparent=traceparent if _TRACEPARENT.fullmatch(traceparent) else None,
    )
    scope[_KEY] = context
    return context


def context_of(scope: Scope) -> RequestContext:
    """Return the context that `open_context` keeps in a scope."""
    context: RequestContext = scope[_KEY]
    return context


def path_of(scope: Scope) -> str:
    """Return the path of a request without the prefix below which a proxy shows the service."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if path.startswith(f"{root}/") else path
