"""Headers that protect browsers, other origins, and names of the host."""

import httpx
import pytest

from tests.builders.service.http.problem_check import check
from tests.fixtures.service import Start

ORIGIN = "https://viewer.example.org"


@pytest.mark.parametrize("path", ["/health/live", "/v1/models", "/nothing", "/metrics", "/docs"])
async def test_every_answer_protects_browsers(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers.get_list("content-security-policy") == [headers["content-security-policy"]]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "strict-transport-security" not in headers
    assert "access-control-allow-origin" not in headers


async def test_an_encrypted_answer_asks_for_encryption_from_now_on(
    client: httpx.AsyncClient,
) -> None:
    for path in ("/health/live", "/nothing"):
        headers = (await client.get(f"https://g2d{path}")).headers
        assert headers["strict-transport-security"] == "max-age=31536000"


def preflight(origin: str) -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type",
    }


async def test_pages_of_other_origins_are_refused_by_default(client: httpx.AsyncClient) -> None:
    refused = await client.options("/v1/segment", headers=preflight(ORIGIN))
    check(refused, 405, "method-not-allowed")


async def test_pages_of_an_allowed_origin_may_call(start: Start) -> None:
    async with start(cors_origins=(ORIGIN,)) as (_, client):
        allowed = await client.options("/v1/segment", headers=preflight(ORIGIN))
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-credentials" not in allowed.headers
        refused = await client.get("/nothing", headers={"origin": ORIGIN})
        assert refused.headers["access-control-allow-origin"] == ORIGIN
        assert "X-Request-Id" in refused.headers["access-control-expose-headers"]
        for other in ("https://viewer.example.org.evil.example", "null"):
            answer = await client.options("/v1/segment", headers=preflight(other))
            assert answer.status_code == 400
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("g2d.example.org", True),
        ("G2D.example.org:8000", True),
        ("a.clinic.example", True),
        ("[::1]:8000", True),
        ("clinic.example", False),
        ("clinic.example.evil.org", False),
        ("evil.org", False),
        ("g2d.example.org.", False),
        ("g2d.example.org:80@evil.org", False),
        ("", False),
    ],
)
async def test_other_names_of_the_host_are_refused(start: Start, host: str, allowed: bool) -> None:
    names = ("g2d.example.org", "*.clinic.example", "[::1]")
    async with start(allowed_hosts=names) as (_, client):
        response = await client.get("/v1/models", headers={"host": host})
        if allowed:
            assert response.status_code == 200
        else:
            assert host == "" or host not in check(response, 421, "misdirected-request")["detail"]
        for probe in ("/health/live", "/metrics"):
            assert (await client.get(probe, headers={"host": host})).status_code == 200


async def test_two_hosts_in_one_request_are_refused(start: Start) -> None:
    async with start(allowed_hosts=("a", "b")) as (_, client):
        twice = [(b"host", b"a"), (b"host", b"b")]
        check(await client.get("/v1/models", headers=twice), 421, "misdirected-request")
