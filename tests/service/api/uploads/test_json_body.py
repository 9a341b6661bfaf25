"""JSON bodies: matched with a schema in a thread, and refused at the first fault."""

import json
import threading
from typing import Any

import pytest
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import model_validator
from starlette.types import Message

from radiograph.strict_model import StrictModel
from service.api.uploads.json_body import read_json
from service.dicomweb.references import ReferencedRadiographs

MANY = 20_000


def request(body: bytes) -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


async def read(body: bytes, schema: Any = ReferencedRadiographs) -> Any:
    return await read_json(request(body), schema, max_bytes=4 << 20, timeout_s=60)


async def faults(body: bytes) -> list[Any]:
    with pytest.raises(RequestValidationError) as refused:
        await read(body)
    return list(refused.value.errors())


@pytest.mark.parametrize("item", [1, None, {}, [], {"server": "pacs", "study": "x"}])
@pytest.mark.parametrize("member", ["references", "phrases"])
async def test_of_many_faults_the_first_is_enough(member: str, item: object) -> None:
    body = {"references": ["x"]} | {member: [item] * MANY}
    assert 1 <= len(await faults(json.dumps(body).encode())) <= 4


async def test_an_object_of_many_members_is_refused_as_a_whole() -> None:
    (fault,) = await faults(json.dumps({str(number): 1 for number in range(MANY)}).encode())
    assert fault["loc"] == ("body",)


@pytest.mark.parametrize(
    "body",
    [b"[" * MANY, b'{"references":' * MANY, b'{"references":' + b"9" * MANY + b"}", b"\xff", b""],
)
async def test_what_no_parser_reads_is_one_fault(body: bytes) -> None:
    assert len(await faults(body)) == 1


async def test_a_body_is_parsed_beside_the_event_loop() -> None:
    seen: list[str] = []

    class Noted(StrictModel):
        value: int

        @model_validator(mode="after")
        def note(self) -> "Noted":
            seen.append(threading.current_thread().name)
            return self

    assert (await read(b'{"value": 1}', Noted)).value == 1
    assert seen
    assert seen != [threading.current_thread().name]
