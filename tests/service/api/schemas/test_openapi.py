"""The OpenAPI document: valid, complete, and about paths that are served."""

from typing import Any

import httpx
from openapi_spec_validator import validate

STATUSES = {"200", "400", "404", "406", "408", "413", "415", "422", "500", "503", "504"}


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
        assert set(responses["200"]["content"]) == {
            "application/json",
            "image/png",
            "image/jpeg",
            "image/webp",
            "application/fhir+json; fhirVersion=4.3",
            "application/fhir+json; fhirVersion=5.0",
            "application/dicom",
            "multipart/related",
        } | ({"multipart/form-data"} if task == "analyze" else set())
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


async def test_the_openapi_document_describes_jobs(client: httpx.AsyncClient) -> None:
    document: dict[str, Any] = (await client.get("/openapi.json")).json()
    post = document["paths"]["/v1/jobs"]["post"]
    assert set(post["requestBody"]["content"]) == {
        "application/zip",
        "application/json",
        "multipart/form-data",
        "multipart/related",
    }
    assert {
        "200",
        "202",
        "400",
        "404",
        "406",
        "408",
        "413",
        "415",
        "422",
        "500",
        "503",
        "507",
    } == set(post["responses"])
    assert "Idempotency-Key" in [item["name"] for item in post["parameters"]]
    results = document["paths"]["/v1/jobs/{id}/results"]["get"]["responses"]["200"]["content"]
    assert set(results) == {"application/json", "application/x-ndjson", "application/zip"}
