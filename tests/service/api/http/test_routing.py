"""Paths and methods: no redirects, HEAD wherever GET is, and a whole `Allow`."""

import httpx
import pytest

from tests.builders.jobs.job_bodies import ZIP, radiograph, zip_file
from tests.builders.jobs.job_clients import accepted, finished
from tests.builders.service.http.problem_check import check

PATHS = ("/v1/segment", "/segment", "/v1/jobs", "/v1/models", "/docs", "/health/live", "/metrics")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_trailing_slash_is_404_and_redirects_nowhere(
    client: httpx.AsyncClient, path: str, method: str
) -> None:
    response = await client.request(method, f"{path}/", headers={"host": "elsewhere.example"})
    check(response, 404, "not-found")
    assert "elsewhere" not in str(response.headers) + response.text


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/openapi.json", "/health/live", "/health/ready", "/metrics"]
)
async def test_head_has_the_headers_of_get_and_no_body(
    client: httpx.AsyncClient, path: str
) -> None:
    head, get = await client.head(path), await client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert "content-length" in head.headers


async def test_head_of_a_missing_resource_is_404(client: httpx.AsyncClient) -> None:
    for path in ("/nothing", "/v1/models/other", f"/v1/jobs/{'0' * 32}/results"):
        response = await client.head(path)
        assert (response.status_code, response.content) == (404, b"")


async def test_head_of_streamed_results_ends(client: httpx.AsyncClient) -> None:
    address = await accepted(client, zip_file({"1": radiograph()}), ZIP)
    await finished(client, address)
    response = await client.head(f"{address}/results")
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        ("/v1/jobs", "DELETE", "GET, HEAD, POST"),
        (f"/v1/jobs/{'0' * 32}", "PUT", "DELETE, GET, HEAD"),
        ("/v1/models/tiny/aliases/stable", "POST", "GET, HEAD, PUT"),
        ("/v1/models/tiny/canary", "DELETE", "GET, HEAD, PUT"),
        ("/v1/segment", "HEAD", "POST"),
        ("/health/live", "POST", "GET, HEAD"),
        ("/docs", "PATCH", "GET, HEAD"),
    ],
)
async def test_allow_names_every_method_of_the_path(
    client: httpx.AsyncClient, path: str, method: str, allowed: str
) -> None:
    response = await client.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)
