"""Requests made from our OpenAPI document get answers that it describes, and never 5xx."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.builders.service.http.admin_calls import ADMIN, TOKEN
from tests.fixtures.service import Start

_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
Case = schemathesis.Case[schemathesis.APIOperation[Any, Any, Any, Any]]
_BASE_URL = "http://g2d"
_EXAMPLES = 8
# Readiness is 503 by design while a version loads.
_LEFT_OUT = {"/health/ready"}


@schemathesis.serializer("application/dicom")
def dicom(_: schemathesis.SerializationContext, value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes) else str(value).encode()


def cases(document: dict[str, Any]) -> Iterator[Case]:
    """Yield a few requests for every operation, the same ones in every run."""
    schema = schemathesis.openapi.from_dict(document)
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), "our document has an operation that is not valid"
        operation = found.ok()
        if operation.path not in _LEFT_OUT:
            yield from examples(operation.as_strategy())


def examples(strategy: Any) -> list[Case]:
    drawn: list[Case] = []

    @settings(
        max_examples=_EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(case: Case) -> None:
        drawn.append(case)

    draw()
    return drawn


async def send(client: httpx.AsyncClient, case: Case) -> httpx.Response:
    """Send a case over the client of the application; requests encodes it."""
    given = case.as_transport_kwargs(base_url=_BASE_URL, headers=dict(ADMIN))
    made = requests.Request(**given).prepare()
    assert made.url is not None
    body: Any = made.body or b""
    headers = [
        (name.encode(), value if isinstance(value, bytes) else value.encode("latin-1"))
        for name, value in made.headers.items()
        if name != "Content-Length"
    ]
    return await client.request(str(made.method), made.url, headers=headers, content=body)


@pytest.mark.filterwarnings("default")
async def test_every_operation_answers_as_documented(start: Start) -> None:
    sent = 0
    async with start(admin_token=TOKEN) as (app, client):
        for case in cases(app.openapi()):
            response = await send(client, case)
            case.validate_response(response, checks=_CHECKS)
            sent += 1
        assert (await client.get("/health/live")).status_code == 200
    assert sent >= 40
