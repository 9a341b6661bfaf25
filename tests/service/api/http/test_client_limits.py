"""Limits of one client over HTTP, wrong tokens in the log, and an identity provider."""

import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.auth import attempts
from service.auth.principal import Scope
from service.observability.metrics.service_metrics import Metrics
from tests.builders.service.auth import api_keys, issuer
from tests.builders.service.http.problem_check import check
from tests.fixtures.service import Start


@pytest.fixture
def path(tmp_path: Path) -> Path:
    api_keys.add(tmp_path / "keys.json", "first")
    return tmp_path / "keys.json"


async def test_the_rate_of_one_owner_does_not_slow_another(start: Start, path: Path) -> None:
    pacs = [api_keys.client_headers(path, "pacs", Scope.INFER) for _ in range(2)]
    other = api_keys.client_headers(path, "other", Scope.INFER)
    async with start(keys_file=path, client_rate=0.01, client_burst=2) as (_, client):
        for headers in pacs:
            assert (await client.get("/v1/models", headers=headers)).status_code == 200
        refused = await client.get("/v1/models", headers=pacs[0])
        check(refused, 429, "too-many-requests")
        assert 90 <= int(refused.headers["retry-after"]) <= 100
        assert (await client.get("/v1/models", headers=other)).status_code == 200
        for probe in ("/health/live", "/docs"):
            assert (await client.get(probe, headers=pacs[0])).status_code == 200


async def test_anonymous_clients_are_limited_by_address(start: Start) -> None:
    async with start(client_rate=0.01, client_burst=1) as (_, client):
        assert (await client.get("/v1/models")).status_code == 200
        check(await client.get("/v1/models"), 429, "too-many-requests")


async def test_a_request_gives_its_place_back(start: Start) -> None:
    async with start(client_in_flight=1) as (_, client):
        for _ in range(3):
            assert (await client.get("/v1/models")).status_code == 200
            assert (await client.get("/v1/models/none")).status_code == 404


async def test_a_source_of_wrong_tokens_gets_429_and_right_clients_do_not(
    start: Start, path: Path
) -> None:
    good = api_keys.client_headers(path, "pacs", Scope.INFER)
    async with start(keys_file=path) as (_, client):
        assert (await client.get("/v1/models", headers=good)).status_code == 200
        for number in range(attempts.BURST):
            wrong = api_keys.bearer(f"g2d_{number:016x}_{'A' * 43}")
            check(await client.get("/v1/models", headers=wrong), 401, "not-authorised")
        refused = await client.get("/v1/models", headers=api_keys.bearer("x" * 20))
        check(refused, 429, "too-many-requests")
        assert (await client.get("/v1/models", headers=good)).status_code == 200


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"source": "loopback"}),
        ({"log_refused_source": "address"}, {"source": "127.0.0.1"}),
        ({"log_refused_source": "none"}, {}),
    ],
)
async def test_a_wrong_token_is_logged_and_counted_without_itself(
    start: Start,
    path: Path,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, str],
    expected: dict[str, str],
) -> None:
    observer = Metrics()
    secret = f"g2d_{'0' * 16}_{'S' * 43}"
    async with start(keys_file=path, observer=observer, **options) as (_, client):
        with caplog.at_level(logging.INFO):
            await client.get("/v1/models", headers=api_keys.bearer(secret))
            await client.get("/v1/models")
    lines: list[dict[str, Any]] = [
        vars(record)["fields"] for record in caplog.records if record.name == "g2d.access"
    ]
    assert [line["reason"] for line in lines] == ["unknown"]
    assert {name: line for name, line in lines[0].items() if name == "source"} == expected
    assert "S" * 43 not in caplog.text + str(lines)
    text = observer.render("")[0].decode()
    assert 'g2d_wrong_tokens_total{reason="unknown"} 1.0' in text


async def test_a_token_of_the_identity_provider_is_a_client(start: Start, tmp_path: Path) -> None:
    keys = tmp_path / "jwks.json"
    keys.write_text(issuer.jwks())
    options = {"oidc_issuer": issuer.ISSUER, "oidc_audience": "g2d", "oidc_jwks": str(keys)}
    async with start(**options) as (_, client):
        good = api_keys.bearer(issuer.token(scope="infer"))
        assert (await client.get("/v1/models", headers=good)).status_code == 200
        check(await client.get("/metrics", headers=good), 403, "scope-missing")
        late = api_keys.bearer(issuer.token(exp=1))
        refused = check(await client.get("/v1/models", headers=late), 401, "not-authorised")
        assert refused["detail"] == "the token has expired"
        check(await client.get("/v1/models"), 401, "not-authorised")


async def test_an_identity_provider_that_is_away_is_503(start: Start, tmp_path: Path) -> None:
    options = {
        "oidc_issuer": issuer.ISSUER,
        "oidc_audience": "g2d",
        "oidc_jwks": str(tmp_path / "missing.json"),
    }
    async with start(**options) as (_, client):
        token: httpx.Response = await client.get(
            "/v1/models", headers=api_keys.bearer(issuer.token())
        )
        check(token, 503, "identity-provider-unavailable")
        assert token.headers["retry-after"] == "10"
        assert (await client.get("/health/live")).status_code == 200
