"""OpenTelemetry: spans of requests, made and exported by its SDK.

The only importer of opentelemetry. The SDK reads its settings from the standard `OTEL_*` variables:
endpoint, headers, sampler, batches, resource attributes. No global provider is set, so spans of
other libraries are not exported along with ours.
"""

import os
import time

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.observability.tracing.tracing import Outcome

_NAME = "g2d-radiograph"
_ORDER = (
    "receive",
    "unpack",
    "decode",
    "read",
    "preprocess",
    "text",
    "queue",
    "batch",
    "trunk",
    "heads",
    "results",
    "encode",
    "audit",
)
"""Stages, in the order in which a request passes through them."""

_propagator = TraceContextTextMapPropagator()


def exporting() -> "Otel":
    """Return tracing that exports batches of spans to the OTLP endpoint of the environment."""
    return Otel(BatchSpanProcessor(OTLPSpanExporter()))


class Otel:
    """Tracing with the SDK of OpenTelemetry.

    Args:
        processor: receives every span that has ended.
    """

    def __init__(self, processor: SpanProcessor) -> None:
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(_NAME)

    def begin(self, traceparent: str | None) -> "OtelTrace":
        """Begin a span, within the client's trace if there is one."""
        carrier = {} if traceparent is None else {"traceparent": traceparent}
        span = self._tracer.start_span(
            "request", context=_propagator.extract(carrier), kind=SpanKind.SERVER
        )
        return OtelTrace(self._tracer, span)

    def close(self) -> None:
        """Export the remaining spans. Blocks."""
        self._provider.shutdown()


class OtelTrace:
    """Span of one request, whose stages are added when it ends.

    The durations of stages are measured in several threads and processes. Each stage is drawn to
    start where the one before it ends, so pauses between stages all appear at the end.
    """

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self._started_ns = time.time_ns()

    @property
    def traceparent(self) -> str:
        """W3C Trace Context of this span."""
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, set_span_in_context(self._span))
        return carrier["traceparent"]

    def end(self, outcome: Outcome) -> None:
        """End the span once the request was answered."""
        span = self._span
        span.update_name(f"{outcome.method} {outcome.route}")
        span.set_attribute("http.request.method", outcome.method)
        span.set_attribute("http.route", outcome.route)
        span.set_attribute("http.response.status_code", outcome.status)
        span.set_attribute("g2d.request_id", outcome.request_id)
        if outcome.model is not None:
            span.set_attribute("g2d.model", outcome.model)
        if outcome.problem is not None:
            span.set_attribute("error.type", outcome.problem)
        if outcome.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        self._stages(outcome)
        span.end()

    def _stages(self, outcome: Outcome) -> None:
        if not self._span.is_recording():
            return
        parent = set_span_in_context(self._span)
        at_ns = self._started_ns
        for name in sorted(outcome.stages_ms, key=_order):
            end_ns = at_ns + int(outcome.stages_ms[name] * 1e6)
            self._tracer.start_span(name, context=parent, start_time=at_ns).end(end_ns)
            at_ns = end_ns


def _order(stage: str) -> int:
    return _ORDER.index(stage) if stage in _ORDER else len(_ORDER)


def _resource() -> Resource:
    """Return the resource that exports; a service name of the environment replaces ours."""
    named = os.environ.get("OTEL_SERVICE_NAME") or SERVICE_NAME in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    return Resource.create(None if named else {SERVICE_NAME: _NAME})
