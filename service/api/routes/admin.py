"""Admin: what may be changed while the service runs, by who has the token.

GET  /v1/models/{name}/aliases/{alias}             where it points, with its ETag
PUT  /v1/models/{name}/aliases/{alias}             If-Match; {"version": 4}
POST /v1/models/{name}/aliases/{alias}/rollback    If-Match
GET | PUT /v1/models/{name}/canary                 {"share": 0.1}

A change: token -> precondition -> body -> load and check the version -> move the alias.
Nothing of a body is read before the token is known to be right.
"""

import asyncio
import hmac
import re
from collections.abc import Callable
from typing import TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from radiograph.errors import AliasConflict, ModelNotFound, UnsupportedEncoding
from service.api.schemas import inference, openapi
from service.api.uploads import upload
from service.deadline import Deadline
from service.errors import AdminOff, NotAuthorised, PreconditionMissing
from service.registry.canary import CANARY
from service.registry.registry import ModelRegistry
from service.settings import Settings

_MAX_BODY_BYTES = 4096
_CHANGES = 4
"""Calls inside; one that loads a version does not stand in the way of a roll-back."""
_NONE = "none"
"""Stands for `If-None-Match: *`; no list of ETags reads so."""
_NOTHING = "no such model, version or alias, or nothing to go back to"
_ETAG = re.compile(r'"([1-9][0-9]{0,8})"')
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)

Change = TypeVar("Change", bound=BaseModel)
T = TypeVar("T")


def router(models: ModelRegistry, settings: Settings) -> APIRouter:
    """The addresses of administration."""
    router = APIRouter(prefix="/v1/models/{name}", tags=["Administration"])
    gate = _Gate(models, settings)
    _add_aliases(router, models, gate)
    _add_canary(router, models, gate)
    return router


def _add_aliases(router: APIRouter, models: ModelRegistry, gate: "_Gate") -> None:
    """Where an alias points, and moving it."""

    @router.get("/aliases/{alias}", responses=openapi.PROBLEMS_OF_ALIASES)
    async def show_alias(name: str, alias: str, response: Response) -> inference.AliasState:
        """Where an alias points; the `ETag` is what a change is to be made of."""
        return await gate.state(name, alias, response)

    @router.put("/aliases/{alias}", **openapi.change(inference.AliasChange, matched=True))
    async def set_alias(
        request: Request, name: str, alias: str, response: Response
    ) -> inference.AliasState:
        """Point an alias to a version, once that is loaded and its golden outputs came out."""
        gate.admit(request)
        given = _given(request)
        change = await gate.read(request, inference.AliasChange)

        def move() -> None:
            expected = _expected(given, lambda: models.pointed(name, alias))
            models.promote(name, alias, change.version, expected)

        await gate.run(move)
        return await gate.state(name, alias, response)

    @router.post("/aliases/{alias}/rollback", **openapi.change(None, matched=True))
    async def roll_back(
        request: Request, name: str, alias: str, response: Response
    ) -> inference.AliasState:
        """Point an alias back to where it pointed before; again, and it goes further back."""
        gate.admit(request)
        given = _given(request)

        def move() -> None:
            expected = _expected(given, lambda: models.pointed(name, alias))
            models.roll_back(name, alias, expected)

        await gate.run(move)
        return await gate.state(name, alias, response)


def _add_canary(router: APIRouter, models: ModelRegistry, gate: "_Gate") -> None:
    """The share of the canary."""

    @router.get("/canary", responses=openapi.PROBLEMS_OF_MODELS)
    async def show_canary(name: str) -> inference.CanaryState:
        """How much of what names no version the canary answers."""
        models.lookup.find_model(name)
        return _canary(models, name)

    @router.put("/canary", **openapi.change(inference.CanaryChange, matched=False))
    async def set_canary(request: Request, name: str) -> inference.CanaryState:
        """Change that share, in this process and until it ends."""
        gate.admit(request)
        change = await gate.read(request, inference.CanaryChange)
        models.lookup.find_model(name)
        models.lookup.shares.change(name, change.share)
        return _canary(models, name)


class _Gate:
    """Lets in who has the token, and a few changes at a time."""

    def __init__(self, models: ModelRegistry, settings: Settings) -> None:
        self._models = models
        self._token = settings.security.admin_token
        self._timeout_s = settings.limits.body_timeout_s
        self._places = asyncio.Semaphore(_CHANGES)

    def admit(self, request: Request) -> None:
        """Let a request in.

        Raises:
            AdminOff: no token is set.
            NotAuthorised: the request does not carry it.
        """
        if self._token is None:
            raise AdminOff("set G2D_ADMIN_TOKEN to allow changes over HTTP")
        bearer = _BEARER.fullmatch(request.headers.get("authorization", ""))
        given = bearer[1].encode("latin-1") if bearer else b""
        if not hmac.compare_digest(given, self._token.get_secret_value().encode()):
            raise NotAuthorised("send the token of the service as Authorization: Bearer TOKEN")

    async def read(self, request: Request, shape: type[Change]) -> Change:
        """The body of a request that was let in.

        Raises:
            UnsupportedEncoding: it is not said to be JSON.
            InputTooLarge: no change is that long.
            RequestValidationError: it is not JSON of that shape.
        """
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json" or "content-encoding" in request.headers:
            raise UnsupportedEncoding("a change is sent as application/json, not encoded further")
        limits = upload.BodyLimits(_MAX_BODY_BYTES, self._timeout_s, 0, 0)
        deadline = Deadline(self._timeout_s)
        body = await upload.read_body(request, limits, deadline, lambda _: None)
        try:
            return shape.model_validate_json(body)
        except ValidationError as error:
            raise RequestValidationError(
                [{**item, "loc": ("body", *_known_part(item))} for item in error.errors()]
            ) from error

    async def run(self, change: Callable[[], T]) -> T:
        """Make a change in a thread.

        Raises:
            ModelNotFound: there is nothing to change.
        """
        async with self._places:
            try:
                return await asyncio.to_thread(change)
            except ModelNotFound as error:  # its words quote the address: fit for a terminal
                raise ModelNotFound(_NOTHING) from error

    async def state(self, name: str, alias: str, response: Response) -> inference.AliasState:
        """Where an alias points, its ETag put into the response."""
        version = await asyncio.to_thread(self._models.pointed, name, alias)
        response.headers["etag"] = f'"{version}"'
        response.headers["cache-control"] = "no-store"
        answering = self._models.lookup.answering(name, alias)
        return inference.AliasState(name=name, alias=alias, version=version, answering=answering)


def _known_part(fault: ErrorDetails) -> tuple[int | str, ...]:
    """Where a body is wrong, without a name that only the client knows."""
    return fault["loc"][:-1] if fault["type"] == "extra_forbidden" else fault["loc"]


def _given(request: Request) -> str:
    """The precondition of a request: the ETags of `If-Match`, or `_NONE` for a new alias.

    Raises:
        PreconditionMissing: there is none.
    """
    if values := request.headers.getlist("if-match"):
        return ", ".join(values)
    if request.headers.get("if-none-match", "").strip() == "*":
        return _NONE
    raise PreconditionMissing(
        "send If-Match with the ETag of the alias, or If-None-Match: * to make a new alias"
    )


def _expected(given: str, points_to: Callable[[], int]) -> int:
    """The version that an alias must still point to, 0 for none (RFC 9110, section 13.1.1).

    Raises:
        ModelNotFound: any version will do, but there is no such alias.
        AliasConflict: nothing given is an ETag that this service could have sent.
    """
    if given == _NONE:
        return 0
    if given.strip() == "*":
        return points_to()
    tags = [match[1] for tag in given.split(",")[:32] if (match := _ETAG.fullmatch(tag.strip()))]
    if not tags:
        raise AliasConflict("If-Match holds no ETag of this alias")
    return int(tags[0]) if len(tags) == 1 else _any_of({int(tag) for tag in tags}, points_to())


def _any_of(tags: set[int], points_to: int) -> int:
    if points_to not in tags:
        raise AliasConflict("the alias points to none of the versions of If-Match")
    return points_to


def _canary(models: ModelRegistry, name: str) -> inference.CanaryState:
    answering = models.lookup.answering(name, CANARY)
    return inference.CanaryState(
        name=name, share=models.lookup.shares.of(name), answering=answering
    )
