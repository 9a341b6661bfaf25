"""Access over HTTP: every endpoint needs its scope, unless it is listed as open."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from openapi_spec_validator import validate

from service.api.http import request_context
from service.auth.principal import Principal, Scope
from tests.builders.service.auth import api_keys
from tests.builders.service.http.admin_calls import ADMIN, TOKEN
from tests.builders.service.http.problem_check import check
from tests.fixtures.service import Start

DICOM = {"content-type": "application/dicom"}
PAGES = {"/", "/models", "/jobs", "/docs", "/assets/style.css"}
OPEN = PAGES | {"/openapi.json", "/health/live", "/health/ready"}
"""Paths without patient data that need no token."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """File of API keys with one key that no test uses."""
    api_keys.add(tmp_path / "keys.json", "first")
    return tmp_path / "keys.json"


@pytest.fixture
async def guarded(start: Start, path: Path) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """A service that authenticates its clients."""
    async with start(keys_file=path) as started:
        yield started


def calls(app: FastAPI) -> list[tuple[str, str]]:
    """Return method and path of every endpoint."""
    values = {"name": "tiny", "version": "1", "alias": "stable", "id": "0" * 32, "number": "1"}
    values["file"] = "style.css"
    return [
        (method, (route.path or "").format(**values))
        for route in iter_route_contexts(app.routes)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]


async def test_every_endpoint_that_is_not_open_needs_a_token(
    guarded: tuple[FastAPI, httpx.AsyncClient],
) -> None:
    app, client = guarded
    found = calls(app)
    assert {path for _, path in found} > OPEN
    assert len(found) > 20
    for method, path in found:
        response = await client.request(method, path, content=b"x")
        if path in OPEN:
            assert response.status_code == 200, path
        else:
            check(response, 401, "not-authorised")
            assert response.headers["www-authenticate"] == "Bearer"


async def test_a_key_without_any_scope_that_fits_is_403(
    guarded: tuple[FastAPI, httpx.AsyncClient], path: Path
) -> None:
    app, client = guarded
    metrics = api_keys.client_headers(path, "prometheus", Scope.METRICS)
    app.state.components.access.key_file.refresh()
    for method, address in calls(app):
        response = await client.request(method, address, content=b"x", headers=metrics)
        if address not in OPEN | {"/metrics"}:
            check(response, 403, "scope-missing")
    assert (await client.get("/metrics", headers=metrics)).status_code == 200


async def test_each_scope_opens_its_endpoints_and_no_others(
    guarded: tuple[FastAPI, httpx.AsyncClient], path: Path, rectangle_dicom: bytes
) -> None:
    app, client = guarded
    headers = {scope: api_keys.client_headers(path, scope.value, scope) for scope in Scope}
    app.state.components.access.key_file.refresh()

    async def statuses(scope: Scope) -> list[int]:
        sent = headers[scope]
        answers = [
            await client.post("/v1/classify", content=rectangle_dicom, headers=sent | DICOM),
            await client.get("/v1/models", headers=sent),
            await client.get(f"/v1/jobs/{'0' * 32}", headers=sent),
            await client.put("/v1/models/tiny/canary", json={"share": 0.0}, headers=sent),
            await client.get("/metrics", headers=sent),
        ]
        return [answer.status_code for answer in answers]

    assert await statuses(Scope.INFER) == [200, 200, 403, 403, 403]
    assert await statuses(Scope.JOBS) == [403, 403, 404, 403, 403]
    assert await statuses(Scope.ADMIN) == [403, 403, 403, 200, 403]
    assert await statuses(Scope.METRICS) == [403, 403, 403, 403, 200]


@pytest.mark.parametrize(
    "given",
    [
        "Basic Z3Vlc3Q6Z3Vlc3Q=",
        "Bearer",
        "Bearer ",
        "Bearer g2d_",
        "Bearer \xe9",
        "Bearer a b",
        "Bearer " + "x" * 50_000,
        "Bearer " + TOKEN,
        "Bearer null",
        "bearer\tg2d_0000000000000000_" + "A" * 43,
    ],
)
async def test_a_wrong_token_is_401_and_is_not_repeated(
    guarded: tuple[FastAPI, httpx.AsyncClient], given: str
) -> None:
    _, client = guarded
    header = [(b"authorization", given.encode("latin-1"))]
    response = await client.get("/v1/models", headers=header)
    check(response, 401, "not-authorised")
    assert given[7:] == "" or given[7:] not in response.text


async def test_two_tokens_in_one_request_are_refused(
    guarded: tuple[FastAPI, httpx.AsyncClient], path: Path
) -> None:
    app, client = guarded
    good = api_keys.client_headers(path, "pacs", Scope.INFER)["authorization"].encode()
    app.state.components.access.key_file.refresh()
    for other in (b"Bearer x", good):
        twice = [(b"authorization", good), (b"authorization", other)]
        check(await client.get("/v1/models", headers=twice), 401, "not-authorised")


async def test_a_body_is_not_read_before_the_token_is_verified(
    guarded: tuple[FastAPI, httpx.AsyncClient],
) -> None:
    _, client = guarded
    read: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        read.append(b"part")
        yield read[-1]

    refused = await client.post(
        "/v1/classify", content=body(), headers=DICOM | {"expect": "100-continue"}
    )
    check(refused, 401, "not-authorised")
    assert read == []


async def test_a_revoked_key_is_refused(start: Start, path: Path) -> None:
    key, token = api_keys.add(path, "pacs", Scope.INFER)
    async with start(keys_file=path) as (app, client):
        sent = api_keys.bearer(token)
        assert (await client.get("/v1/models", headers=sent)).status_code == 200
        api_keys.remove(path, [key])
        app.state.components.access.key_file.refresh()
        check(await client.get("/v1/models", headers=sent), 401, "not-authorised")


async def test_an_expired_key_is_401_with_the_reason(start: Start, path: Path) -> None:
    _, token = api_keys.add(path, "pacs", expired=True)
    async with start(keys_file=path) as (_, client):
        refused = await client.get("/v1/models", headers=api_keys.bearer(token))
    assert check(refused, 401, "not-authorised")["detail"] == "the API key has expired"


async def test_anonymous_clients_are_served_beside_keys_if_the_operator_allows_it(
    start: Start, path: Path
) -> None:
    async with start(keys_file=path, allow_anonymous=True) as (_, client):
        assert (await client.get("/v1/models")).status_code == 200
        wrong = await client.get("/v1/models", headers=api_keys.bearer("x" * 20))
        check(wrong, 401, "not-authorised")
        change = await client.put("/v1/models/tiny/canary", json={"share": 0.0})
        check(change, 401, "not-authorised")


async def test_without_authentication_the_token_of_a_gateway_is_ignored(
    client: httpx.AsyncClient,
) -> None:
    for given in ("Basic Z3Vlc3Q6Z3Vlc3Q=", "Bearer of-a-gateway"):
        assert (await client.get("/v1/models", headers={"authorization": given})).status_code == 200


async def test_the_admin_token_administers_beside_keys(start: Start, path: Path) -> None:
    async with start(keys_file=path, admin_token=TOKEN) as (_, client):
        change = await client.put("/v1/models/tiny/canary", json={"share": 0.0}, headers=ADMIN)
        assert change.status_code == 200
        check(await client.get("/v1/models", headers=ADMIN), 403, "scope-missing")


async def test_the_principal_is_known_to_what_observes_requests(
    start: Start, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts: list[request_context.RequestContext] = []
    opened = request_context.open_context

    def remembered(scope: Any) -> request_context.RequestContext:
        contexts.append(opened(scope))
        return contexts[-1]

    monkeypatch.setattr("service.api.http.middleware.open_context", remembered)
    key, token = api_keys.add(path, "pacs", Scope.INFER)
    async with start(keys_file=path) as (_, client):
        await client.get("/v1/models", headers=api_keys.bearer(token))
        await client.get("/v1/models")
    known, unknown = (context.principal for context in contexts)
    assert known == Principal(f"key:{key.id}", frozenset({Scope.INFER}), "key:pacs")
    assert (unknown.id, unknown.owner) == ("anonymous", None)


async def test_openapi_names_the_scope_of_each_operation(
    guarded: tuple[FastAPI, httpx.AsyncClient], client: httpx.AsyncClient
) -> None:
    document = (await guarded[1].get("/openapi.json")).json()
    validate(document)
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    secured = {
        path: operation.get("security")
        for path, methods in document["paths"].items()
        for operation in methods.values()
    }
    assert {path for path, security in secured.items() if security is None} <= OPEN
    assert secured["/v1/classify"] == [{"token": ["infer"]}]
    assert secured["/v1/jobs"] == [{"token": ["jobs"]}]
    assert secured["/metrics"] == [{"token": ["metrics"]}]
    answers = document["paths"]["/v1/classify"]["post"]["responses"]
    assert {"401", "403"} <= answers.keys()
    alone = (await client.get("/openapi.json")).json()["paths"]
    assert "security" not in alone["/v1/classify"]["post"]
    assert alone["/v1/models/{name}/canary"]["put"]["security"] == [{"token": ["admin"]}]
