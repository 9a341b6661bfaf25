"""Outermost layer of the application: request id, response headers, one log line, every error.

server -> open context -> application -> add headers -> server
                              |  unexpected error -> problem 500
                              |  answered before the body was read -> the rest is drained
                              '  log line, observer, end of the span
"""

import asyncio
import logging
from collections.abc import Mapping
from http import HTTPMethod
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.http import problems
from service.api.http.request_context import RequestContext, open_context, path_of
from service.observability.observer import NULL_OBSERVER, Observer
from service.observability.tracing.tracing import Outcome, Trace, Tracing

logger = logging.getLogger("g2d.request")

CUT = "g2d.cut"
"""Extension of the ASGI scope: its `cut` closes the connection in the middle of a response."""

_DRAIN_S = 2.0
_UNMATCHED = "unmatched"
"""Route that is logged for a path that the service does not have."""
_METHODS = frozenset(method.value for method in HTTPMethod)
_PROBES = ("/health/live", "/health/ready", "/metrics")
"""Paths that monitoring requests every few seconds."""


class RequestContextMiddleware:
    """ASGI middleware around the whole application.

    Args:
        app: the application.
        observer: receives the outcome of every request.
        tracing: starts the span of every request, or None.
    """

    def __init__(
        self, app: ASGIApp, observer: Observer = NULL_OBSERVER, tracing: Tracing | None = None
    ) -> None:
        self._app = app
        self._observer = observer
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request and log it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = open_context(scope)
        exchange = _Exchange(scope, receive, send, context)
        observed = path_of(scope) not in _PROBES
        trace = self._begin(context) if observed else None
        method = scope["method"]
        if method == "HEAD":  # answered as GET is, and the exchange sends no body
            scope = {**scope, "method": "GET"}
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:  # noqa: BLE001 - answered with 500, or the response is cut
            if exchange.status is None:
                response = problems.unexpected(context, error)
                await response(scope, exchange.receive, exchange.send)
            else:
                problems.cut_short(context, error)
                _cut(scope, error)
        finally:
            outcome = _outcome(scope, method, context, exchange.status)
            _log(scope, context, outcome)
            if observed:
                self._observe(context, outcome)
            if trace is not None:
                trace.end(outcome)

    def _begin(self, context: RequestContext) -> Trace | None:
        """Count a request that arrived, and start its span if requests are traced."""
        self._observer.arrived()
        if self._tracing is None:
            return None
        trace = self._tracing.begin(context.traceparent)
        context.traceparent = trace.traceparent
        return trace

    def _observe(self, context: RequestContext, outcome: Outcome) -> None:
        """Report the outcome of one request to the observer."""
        seconds = context.elapsed_ms() / 1e3
        self._observer.answered(outcome.route, outcome.status, seconds, outcome.model)
        if outcome.problem is not None:
            self._observer.problem(outcome.problem)
        for name, ms in outcome.stages_ms.items():
            self._observer.stage(name, ms / 1e3)


class _Exchange:
    """The message channels of one request, with a record of what passed them.

    Attributes:
        status: status of the response, or None before it has started.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, context: RequestContext) -> None:
        self._receive = receive
        self._send = send
        self._context = context
        headers = dict(scope["headers"])
        self._unread = (
            b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
        )
        self._awaits_continue = headers.get(b"expect", b"").lower() == b"100-continue"
        self._without_body = scope["method"] == "HEAD"
        self._secure = scope.get("scheme") == "https"
        self.status: int | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        self._awaits_continue = False
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._unread:
                await self._drain()
            sent = list(message.get("headers", ()))
            message = {**message, "headers": [*sent, *self._headers(dict(sent))]}
            await self._send(message)
            if self._without_body:
                await self._send({"type": "http.response.body"})
        elif not self._without_body:
            await self._send(message)

    def _headers(self, sent: Mapping[bytes, bytes]) -> list[tuple[bytes, bytes]]:
        headers = self._context.headers()
        if b"content-security-policy" not in sent:  # pages have one of their own
            headers["content-security-policy"] = "frame-ancestors 'none'"
        if self._secure:
            headers["strict-transport-security"] = "max-age=31536000"
        if self._unread:  # the rest of the body would be read as the next request
            headers["connection"] = "close"
        return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]

    async def _drain(self) -> None:
        """Read on for a moment: a client that is still sending may miss an early response."""
        if self._awaits_continue:
            return
        try:
            async with asyncio.timeout(_DRAIN_S):
                while self._unread:
                    await self.receive()
        except TimeoutError:
            return


def _cut(scope: Scope, error: Exception) -> None:
    """Close the connection in the middle of a response, so that nobody takes it for the whole."""
    extension = scope.get("extensions", {}).get(CUT)
    if extension is None:  # another server closes the connection when an error reaches it
        raise error
    extension["cut"]()


def _outcome(scope: Scope, method: str, context: RequestContext, status: int | None) -> Outcome:
    """Return the outcome of a request: the template of its route, never its path or query."""
    stages = {name: ms for name, ms in context.timings_ms.items() if name != "total"}
    return Outcome(
        method=method if method in _METHODS else "_OTHER",
        route=getattr(scope.get("route"), "path", _UNMATCHED),
        status=status or problems.CLIENT_CLOSED_REQUEST,
        request_id=context.request_id,
        model=None if context.model is None else str(context.model),
        problem=context.problem,
        stages_ms=stages,
    )


def _log(scope: Scope, context: RequestContext, outcome: Outcome) -> None:
    """Write the log line of one request."""
    fields: dict[str, Any] = {
        **context.log_fields(),
        "method": outcome.method,
        "route": outcome.route,
        "status": outcome.status,
        "ms": round(context.elapsed_ms(), 1),
    }
    if outcome.problem is not None:
        fields["problem"] = outcome.problem
    if context.model is not None:
        fields["model"] = outcome.model
        fields["digest"] = context.model.digest
    level = logging.DEBUG if path_of(scope) in _PROBES else logging.INFO
    logger.log(level, "request", extra={"fields": fields})
