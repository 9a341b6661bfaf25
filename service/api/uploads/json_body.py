"""JSON body of a request: one object that matches a schema, each member given once.

A body is parsed in a thread, so that one that takes long keeps nobody else waiting.
"""

import asyncio
import json
from contextlib import suppress
from typing import TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from service.api.uploads.upload import read_body
from service.deadline import Deadline

Schema = TypeVar("Schema", bound=BaseModel)

_MOST_MEMBERS = 64
"""Members of one JSON object; a schema would report each one that it does not know."""


async def read_json(
    request: Request, schema: type[Schema], max_bytes: int, timeout_s: float
) -> Schema:
    """Return the body of a request whose Content-Type has been checked.

    Args:
        request: the request.
        schema: what the body must match.
        max_bytes: largest size of the body.
        timeout_s: seconds within which it must arrive.

    Raises:
        InputTooLarge: the body is longer.
        BodyTimeout: the body did not arrive in time.
        RequestValidationError: the body is not JSON that matches the schema.
    """
    body = await read_body(
        request,
        max_bytes=max_bytes,
        timeout_s=timeout_s,
        deadline=Deadline(timeout_s),
        account=lambda _: None,
    )
    return await asyncio.to_thread(_parse, body, schema)


def _parse(body: bytes, schema: type[Schema]) -> Schema:
    """Return a body as its schema has it. Blocks.

    Raises:
        RequestValidationError: the body is not JSON that matches the schema.
    """
    _check_members(body)
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(
            [{**item, "loc": ("body", *_known_location(item))} for item in error.errors()]
        ) from error


def _check_members(body: bytes) -> None:
    """Refuse a JSON object with two members of one name, of which parsers keep the last.

    One with more members than any schema has is refused as well.

    Raises:
        RequestValidationError: there is one. Whatever else is wrong is left to the schema.
    """

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        members = dict(pairs)
        if len(members) < len(pairs):
            raise _refused("repeated", "Each member should be given once")
        if len(members) > _MOST_MEMBERS:
            raise _refused("too_long", f"An object should have at most {_MOST_MEMBERS} members")
        return members

    with suppress(ValueError, RecursionError):
        json.loads(body, object_pairs_hook=unique)


def _refused(kind: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"type": kind, "loc": ("body",), "msg": message}])


def _known_location(fault: ErrorDetails) -> tuple[int | str, ...]:
    """Return the location of a fault in a body, without a name that the client made up."""
    return fault["loc"][:-1] if fault["type"] == "extra_forbidden" else fault["loc"]
