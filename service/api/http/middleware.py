"""The outermost layer: request id, headers, one log line, no error left unanswered.

server -> open context -> application -> headers added -> server
                              |  unexpected error -> problem 500
                              |  answered before the body was read -> rest is drained
                              '  log line, observer told, span ended
"""

import asyncio
import logging
from http import HTTPMethod
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.http import problems
from service.api.http.request_context import Context, open_context
from service.observability.observer import NULL_OBSERVER, Observer
from service.observability.tracing import Outcome, Trace, Tracing

logger = logging.getLogger("g2d.request")

_DRAIN_S = 2.0
_UNMATCHED = "unmatched"
"""Stands for the route of an address that is none of ours."""
_METHODS = frozenset(method.value for method in HTTPMethod)
_PROBES = ("/health/live", "/health/ready", "/metrics")
"""Asked every few seconds by those who watch the service."""


class RequestContextMiddleware:
    """ASGI middleware around the whole application."""

    def __init__(
        self, app: ASGIApp, observer: Observer = NULL_OBSERVER, tracing: Tracing | None = None
    ) -> None:
        self._app = app
        self._observer = observer
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request and write its log line."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = open_context(scope)
        exchange = _Exchange(scope, receive, send, context)
        watched = scope["path"] not in _PROBES
        trace = self._begin(context) if watched else None
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            response = problems.unexpected(context, error)
            if exchange.status is not None:
                raise
            await response(scope, exchange.receive, exchange.send)
        finally:
            outcome = _outcome(scope, context, exchange.status)
            _log(scope, context, outcome)
            if watched:
                self._tell(context, outcome)
            if trace is not None:
                trace.end(outcome)

    def _begin(self, context: Context) -> Trace | None:
        """Count a request in, and begin its span where requests are traced."""
        self._observer.arrived()
        if self._tracing is None:
            return None
        trace = self._tracing.begin(context.traceparent)
        context.traceparent = trace.traceparent
        return trace

    def _tell(self, context: Context, outcome: Outcome) -> None:
        """What the observer may know of one request."""
        seconds = context.elapsed_ms() / 1e3
        self._observer.answered(outcome.route, outcome.status, seconds, outcome.model)
        if outcome.problem is not None:
            self._observer.problem(outcome.problem)
        for name, ms in outcome.stages_ms.items():
            self._observer.stage(name, ms / 1e3)


class _Exchange:
    """The two directions of one request, watched."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, context: Context) -> None:
        self._receive = receive
        self._send = send
        self._context = context
        headers = dict(scope["headers"])
        self._unread = (
            b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
        )
        self._held_back = headers.get(b"expect", b"").lower() == b"100-continue"
        self.status: int | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        self._held_back = False
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._unread:
                await self._drain()
            message = {**message, "headers": [*message.get("headers", ()), *self._headers()]}
        await self._send(message)

    def _headers(self) -> list[tuple[bytes, bytes]]:
        headers = self._context.headers()
        if self._unread:  # what is left of the body would be read as the next request
            headers["connection"] = "close"
        return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]

    async def _drain(self) -> None:
        """Read on for a moment: a client that still sends would not see an early answer."""
        if self._held_back:
            return
        try:
            async with asyncio.timeout(_DRAIN_S):
                while self._unread:
                    await self.receive()
        except TimeoutError:
            return


def _outcome(scope: Scope, context: Context, status: int | None) -> Outcome:
    """What may be told of a request: the route's template, never the address or the query."""
    stages = {name: ms for name, ms in context.timings_ms.items() if name != "total"}
    return Outcome(
        method=scope["method"] if scope["method"] in _METHODS else "_OTHER",
        route=getattr(scope.get("route"), "path", _UNMATCHED),
        status=status or problems.CLIENT_CLOSED_REQUEST,
        request_id=context.request_id,
        model=None if context.model is None else str(context.model),
        problem=context.problem,
        stages_ms=stages,
    )


def _log(scope: Scope, context: Context, outcome: Outcome) -> None:
    """One line for each request."""
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
    level = logging.DEBUG if scope["path"] in _PROBES else logging.INFO
    logger.log(level, "request", extra={"fields": fields})
