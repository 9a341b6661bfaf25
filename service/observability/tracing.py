"""Tracing: one span for a request and one for each of its stages, where somebody collects them.

    traceparent --begin--> Trace --end(route, status, stages)--> OTLP, by the OTEL_* variables
                             '--> traceparent of the answer, trace_id in the log

Off unless `OTEL_EXPORTER_OTLP_ENDPOINT`, or the one for traces, is set; then it needs the extra
`otel`. Without it nothing of OpenTelemetry is imported and a request does no work for it.
Spans hold what the log line of a request holds, and no more: no address, query, phrase or
identifier of a patient. A client's `tracestate` is free text and ends here.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

logger = logging.getLogger("g2d.tracing")


@dataclass(frozen=True)
class Outcome:
    """How a request ended.

    Attributes:
        method: of HTTP; one that is not known is `_OTHER`.
        route: the template, or `unmatched`.
        status: of the answer.
        request_id: as in the log.
        model: `name/version`, when a version was chosen.
        problem: the kind of problem, when it is one.
        stages_ms: stage -> milliseconds.
    """

    method: str
    route: str
    status: int
    request_id: str
    model: str | None
    problem: str | None
    stages_ms: Mapping[str, float]


class Trace(Protocol):
    """The span of one request, begun."""

    @property
    def traceparent(self) -> str:
        """W3C Trace Context of this span, for the answer and for services asked meanwhile."""

    def end(self, outcome: Outcome) -> None:
        """The request was answered."""


class Tracing(Protocol):
    """Begins the spans of requests."""

    def begin(self, traceparent: str | None) -> Trace:
        """Begin a span, within the caller's trace where there is one."""

    def close(self) -> None:
        """Export what is left. Blocks."""
