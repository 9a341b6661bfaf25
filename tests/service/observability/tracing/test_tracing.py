"""A request is a span with one child for each stage, within the trace of its client."""

import logging
import re
from collections.abc import Mapping

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from service.observability.tracing.otel import Otel
from tests.fixtures.service import Start

DICOM = {"content-type": "application/dicom"}
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLER = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"}
STAGES = ["receive", "read", "preprocess", "trunk", "heads", "results", "encode"]


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def collected(exporter: InMemorySpanExporter) -> Otel:
    return Otel(SimpleSpanProcessor(exporter))


def attributes(span: ReadableSpan) -> Mapping[str, object]:
    assert span.attributes is not None
    return span.attributes


async def test_a_request_is_a_span_with_one_for_each_stage(
    start: Start, exporter: InMemorySpanExporter, collected: Otel, rectangle_dicom: bytes
) -> None:
    async with start(tracing=collected) as (_, client):
        await client.post("/v1/segment", content=rectangle_dicom, headers=DICOM)
    *stages, request = exporter.get_finished_spans()
    assert (request.name, request.kind) == ("POST /v1/segment", SpanKind.SERVER)
    assert attributes(request)["http.route"] == "/v1/segment"
    assert attributes(request)["http.response.status_code"] == 200
    assert attributes(request)["g2d.model"] == "tiny/1"
    assert [stage.name for stage in stages if stage.name in STAGES] == STAGES
    for stage in stages:
        assert stage.parent is not None
        assert stage.parent.span_id == request.context.span_id
    assert request.resource.attributes["service.name"] == "g2d-radiograph"


async def test_the_clients_trace_is_continued(
    start: Start, exporter: InMemorySpanExporter, collected: Otel
) -> None:
    async with start(tracing=collected) as (_, client):
        response = await client.get("/v1/models", headers=CALLER)
    (span,) = exporter.get_finished_spans()
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == SPAN_ID
    own = f"{span.context.span_id:016x}"
    assert response.headers["traceparent"] == f"00-{TRACE_ID}-{own}-01"


async def test_a_request_without_a_trace_begins_one(
    start: Start, exporter: InMemorySpanExporter, collected: Otel
) -> None:
    async with start(tracing=collected) as (_, client):
        response = await client.get("/v1/models")
    (span,) = exporter.get_finished_spans()
    assert span.parent is None
    assert f"{span.context.trace_id:032x}" in response.headers["traceparent"]


@pytest.mark.parametrize(
    "given",
    [
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01-doe",
        "doe",
    ],
)
async def test_an_invalid_trace_is_not_continued(
    start: Start, exporter: InMemorySpanExporter, collected: Otel, given: str
) -> None:
    async with start(tracing=collected) as (_, client):
        response = await client.get("/v1/models", headers={"traceparent": given})
    (span,) = exporter.get_finished_spans()
    assert span.parent is None
    assert TRACE_ID not in response.headers["traceparent"]


async def test_the_sampling_decision_of_the_client_is_followed(
    start: Start, exporter: InMemorySpanExporter, collected: Otel, rectangle_dicom: bytes
) -> None:
    unsampled = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-00"}
    async with start(tracing=collected) as (_, client):
        response = await client.post("/segment", content=rectangle_dicom, headers=DICOM | unsampled)
    assert exporter.get_finished_spans() == ()
    assert re.fullmatch(f"00-{TRACE_ID}-[0-9a-f]{{16}}-00", response.headers["traceparent"])


async def test_a_problem_is_an_attribute_of_its_span(
    start: Start, exporter: InMemorySpanExporter, collected: Otel
) -> None:
    async with start(tracing=collected, default_model="other") as (_, client):
        await client.post("/segment", content=b"no image", headers=DICOM)
        await client.get("/health/live")
        await client.get("/metrics")
    (span,) = exporter.get_finished_spans()
    assert attributes(span)["error.type"] == "model-not-found"
    assert span.status.status_code is StatusCode.UNSET


async def test_the_log_line_names_the_trace(
    start: Start, collected: Otel, caplog: pytest.LogCaptureFixture
) -> None:
    async with start(tracing=collected) as (_, client):
        with caplog.at_level(logging.INFO):
            response = await client.get("/v1/models", headers=CALLER)
    (record,) = (record for record in caplog.records if record.name == "g2d.request")
    fields: dict[str, object] = vars(record)["fields"]
    assert fields["trace_id"] == TRACE_ID
    assert response.headers["traceparent"] == f"00-{TRACE_ID}-{fields['span_id']}-01"


async def test_an_untraced_request_passes_the_trace_on(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/models", headers=CALLER)
    assert response.headers["traceparent"] == CALLER["traceparent"]
