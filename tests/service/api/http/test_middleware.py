"""Outermost layer: request identifiers, traces, response headers and log lines."""

import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from service.api.http import problems
from service.api.http.middleware import CUT, RequestContextMiddleware
from service.errors import JobNotFound
from tests.builders.service.http.asgi import Exchange

DICOM = {"content-type": "application/dicom"}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_an_answer_has_its_headers(client: httpx.AsyncClient, rectangle_dicom: bytes) -> None:
    headers = DICOM | {"x-request-id": "abc-1", "traceparent": TRACE}
    response = await client.post("/segment", content=rectangle_dicom, headers=headers)
    assert response.headers["x-request-id"] == response.json()["request_id"] == "abc-1"
    assert response.headers["traceparent"] == TRACE
    assert response.headers["x-model-version"] == "tiny/1"
    assert response.headers["cache-control"] == "no-store"
    stages = dict(re.findall(r"(\w+);dur=([0-9.]+)", response.headers["server-timing"]))
    assert {"receive", "read", "preprocess", "trunk", "heads", "results", "encode"} < set(stages)
    assert sum(map(float, stages.values())) <= 2 * float(stages["total"])


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "line\\nbreak", "é", "../etc", "-"])
async def test_an_invalid_request_id_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    response = await client.get("/health/live", headers=[(b"x-request-id", given.encode())])
    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])


async def test_a_malformed_trace_is_not_passed_on(client: httpx.AsyncClient) -> None:
    response = await client.get("/health/live", headers={"traceparent": "00-zz"})
    assert "traceparent" not in response.headers


async def broken_off(error: Exception) -> AsyncIterator[bytes]:
    """Yield the beginning of a response, and fail."""
    yield b'{"items":['
    raise error


@pytest.mark.parametrize(
    ("error", "kind", "logged"),
    [
        (JobNotFound("gone"), "job-not-found", []),
        (KeyError("Doe"), "internal-error", ["g2d.problems"]),
    ],
)
async def test_a_response_that_fails_in_the_middle_is_cut(
    error: Exception, kind: str, logged: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()
    problems.install(app)
    app.add_middleware(RequestContextMiddleware)
    app.add_api_route("/stream", lambda: StreamingResponse(broken_off(error)), methods=["POST"])
    cut: list[bool] = []
    exchange = Exchange(app, "/stream", extensions={CUT: {"cut": lambda: cut.append(True)}})
    with caplog.at_level(logging.INFO):
        reply = await exchange.run()
    assert (reply.status, reply.body, cut) == (200, b'{"items":[', [True])
    *others, line = caplog.records
    assert vars(line)["fields"]["problem"] == kind
    assert [record.name for record in others] == logged
    assert "Doe" not in caplog.text


async def test_a_request_has_one_log_line_without_its_phrase(
    client: httpx.AsyncClient, rectangle_dicom: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "g2d.request"):
        headers = DICOM | {"x-request-id": "abc-2"}
        await client.post("/v1/ground?phrase=elephant", content=rectangle_dicom, headers=headers)
        await client.post("/nothing/Doe?name=Jane")
        await client.get("/health/live")
    lines: list[dict[str, Any]] = [vars(record)["fields"] for record in caplog.records]
    assert [(line["route"], line["status"]) for line in lines] == [
        ("/v1/ground", 200),
        ("unmatched", 404),
    ]
    assert lines[0]["id"] == "abc-2"
    assert (lines[0]["model"], len(lines[0]["digest"])) == ("tiny/1", 64)
    assert not re.search("elephant|Jane|Doe|4711", str(lines) + caplog.text)
