"""Tracing interface: one span for a request, and one for each of its stages.

    traceparent --begin--> Trace --end(route, status, stages)--> OTLP, by the OTEL_* variables
                             '--> traceparent of the answer, trace_id in the log

Tracing is off unless `OTEL_EXPORTER_OTLP_ENDPOINT`, or the variable for traces alone, is set; it
then needs the extra `otel`. While it is off, nothing of OpenTelemetry is imported, and a request
does no work for it. Spans hold what the log line of a request holds and no more: no address,
query, phrase or identifier of a patient. A client's `tracestate` is free text and is dropped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Outcome:
    """Result of a request.

    Attributes:
        method: HTTP method; an unknown one is `_OTHER`.
        route: template of the route, or `unmatched`.
        status: HTTP status of the answer.
        request_id: id of the request, as in the log.
        model: `name/version`, if a version was chosen.
        problem: kind of problem, if the answer is one.
        stages_ms: milliseconds by stage.
    """

    method: str
    route: str
    status: int
    request_id: str
    model: str | None
    problem: str | None
    stages_ms: Mapping[str, float]


class Trace(Protocol):
    """Span of one request in progress."""

    @property
    def traceparent(self) -> str:
        """W3C Trace Context of this span, for the answer and for calls to other services."""

    def end(self, outcome: Outcome) -> None:
        """End the span once the request was answered."""


class Tracing(Protocol):
    """Begins the spans of requests."""

    def begin(self, traceparent: str | None) -> Trace:
        """Begin a span, within the client's trace if there is one."""

    def close(self) -> None:
        """Export the remaining spans. Blocks."""
