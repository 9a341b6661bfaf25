"""Query string of a request: parsed once, into a model, where each value is one the client meant.

    query string --parse--> names and values --> model of the parameters, or 422

The framework would take the last of several values, and U+FFFD for bytes that are not UTF-8. Both
are refused here. It would also look at each field of the model anew in every request, while the
event loop stands still. The routes therefore call `query_of`, and the framework only describes the
parameters (`described`).
"""

import copy
import functools
from collections import Counter
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

Parameters = TypeVar("Parameters", bound=BaseModel)

LISTS = frozenset({"objects", "phrase", "tasks"})
"""Parameters that may be repeated."""
_PLACE = "query"


def query_of(request: Request, model: type[Parameters]) -> Parameters:
    """Return the parameters in the query string of a request.

    Raises:
        RequestValidationError: the query is not UTF-8, gives a parameter of one value several
            times, or does not fit the model.
    """
    pairs = _pairs(request.scope["query_string"])
    values: dict[str, Any] = dict(pairs)
    for name in LISTS & values.keys():
        values[name] = [value for other, value in pairs if other == name]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        raise RequestValidationError(
            [{**fault, "loc": (_PLACE, *fault["loc"])} for fault in faults]
        ) from error


def described(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the parameters of a model as OpenAPI describes them; the caller may change them."""
    return copy.deepcopy(_description(model))


@functools.cache
def _description(model: type[BaseModel]) -> list[dict[str, Any]]:
    async def endpoint(parameters: Any) -> None:
        """Do nothing: only its signature is read."""

    endpoint.__annotations__ = {"parameters": Annotated[model, Query()]}
    document = get_openapi(title="", version="", routes=[APIRoute("/", endpoint)])
    parameters: list[dict[str, Any]] = document["paths"]["/"]["get"]["parameters"]
    return parameters


def _pairs(query: bytes) -> list[tuple[str, str]]:
    """Return the names and values of a query string."""
    if not query:
        return []
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        message = "The query should be percent-encoded UTF-8"
        raise RequestValidationError([_fault("utf8", message)]) from error
    counts = Counter(name for name, _ in pairs)
    repeated = [name for name, count in counts.items() if count > 1 and name not in LISTS]
    if repeated:
        raise RequestValidationError(
            [_fault("repeated", "Input should be given once", name) for name in repeated]
        )
    return pairs


def _fault(kind: str, message: str, *place: str) -> dict[str, Any]:
    return {"type": kind, "loc": (_PLACE, *place), "msg": message}
