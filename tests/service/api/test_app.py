"""Models, health, headers, pages and the OpenAPI document."""

import logging
import re
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from service.api.schemas import models
from tests.builders.service.problem_check import check

DICOM = {"content-type": "application/dicom"}
STATUSES = {"200", "400", "404", "406", "408", "413", "415", "422", "500", "503", "504"}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_models_say_what_is_loaded(client: httpx.AsyncClient) -> None:
    listed = models.ModelList.model_validate((await client.get("/v1/models")).json())
    (model,) = listed.models
    assert (model.name, model.default) == ("tiny", True)
    assert [(v.version, v.state, v.aliases) for v in model.versions] == [(1, "ready", ["stable"])]
    assert (await client.get("/v1/models/tiny")).json() == model.model_dump(mode="json")


@pytest.mark.parametrize("version", ["1", "stable"])
async def test_a_version_shows_its_manifest_and_what_computes(
    client: httpx.AsyncClient, version: str
) -> None:
    response = await client.get(f"/v1/models/tiny/versions/{version}")
    detail = models.VersionDetail.model_validate(response.json())
    assert detail.manifest is not None
    assert (detail.manifest.name, detail.version) == ("tiny", 1)
    assert detail.providers == ["CPUExecutionProvider"]
    assert detail.reason is None


@pytest.mark.parametrize(
    "path", ["/v1/models/other", "/v1/models/tiny/versions/2", "/v1/models/tiny/versions/canary"]
)
async def test_a_model_that_is_not_loaded_is_404(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    check(response, 404, "model-not-found")


async def test_health_says_live_and_ready(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).json() == {"status": "live"}
    assert (await client.get("/health/ready")).json() == {"status": "ready"}


async def test_an_answer_carries_its_headers(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
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
async def test_a_request_id_that_is_not_sane_is_replaced(
    client: httpx.AsyncClient, given: str
) -> None:
    response = await client.get("/health/live", headers=[(b"x-request-id", given.encode())])
    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])


async def test_a_trace_that_is_malformed_is_not_passed_on(client: httpx.AsyncClient) -> None:
    response = await client.get("/health/live", headers={"traceparent": "00-zz"})
    assert "traceparent" not in response.headers


async def test_the_log_has_one_line_for_a_request_and_no_phrase(
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


async def test_the_openapi_document_is_valid_and_complete(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    validate(document)
    for task in ("classify", "segment", "detect", "ground", "analyze"):
        operation = document["paths"][f"/v1/{task}"]["post"]
        bodies = operation["requestBody"]["content"]
        assert set(bodies) == {
            "application/dicom",
            "image/png",
            "image/jpeg",
            "application/octet-stream",
            "multipart/form-data",
        }
        assert all(body["examples"] for body in bodies.values())
        responses = operation["responses"]
        assert set(responses) == STATUSES
        assert set(responses["200"]["content"]) == {"application/json", "image/png"}
        for status in set(responses) - {"200"}:
            (media_type,) = responses[status]["content"]
            examples = responses[status]["content"][media_type]["examples"].values()
            assert media_type == "application/problem+json"
            assert {example["value"]["status"] for example in examples} == {int(status)}
    names = {item["name"] for item in document["paths"]["/v1/analyze"]["post"]["parameters"]}
    assert {"model", "version", "phrase", "method", "heatmap", "tasks"} < names


async def test_every_path_of_the_document_is_served(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for path, methods in document["paths"].items():
        for method in methods:
            address = path.format(name="tiny", version="1", alias="stable", id="0" * 32, number="1")
            response = await client.request(method, address)
            unserved = {"urn:g2d:problem:not-found", "urn:g2d:problem:method-not-allowed"}
            if response.status_code >= 400:
                assert response.json()["type"] not in unserved, (method, path)


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_a_page_needs_no_other_host(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert not re.search(r"(https?:)?//[a-z]", response.text)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
