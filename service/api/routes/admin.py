"""Administration endpoints: changes to aliases and to the canary share, protected by a token.

GET  /v1/models/{name}/aliases/{alias}             version of an alias, with its ETag
PUT  /v1/models/{name}/aliases/{alias}             If-Match; {"version": 4}
POST /v1/models/{name}/aliases/{alias}/rollback    If-Match
GET | PUT /v1/models/{name}/canary                 {"share": 0.1}

A change: token -> precondition -> body -> load and verify the version -> move the alias.
No body is read before the token has been verified.
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
from service.api.schemas import admin, openapi
from service.api.uploads.upload import read_body
from service.deadline import Deadline
from service.errors import AdminOff, NotAuthorised, PreconditionMissing
from service.registry.canary import CANARY
from service.registry.registry import ModelRegistry
from service.settings import Settings

_MAX_BODY_BYTES = 4096
_MAX_CONCURRENT_CHANGES = 4
"""More than one, so that a change that loads a version does not block a roll-back."""
_NO_ALIAS = "none"
"""Precondition that there is no alias yet (`If-None-Match: *`); no list of ETags reads so."""
_NOT_FOUND = "no such model, version or alias, or no previous version"
_ETAG = re.compile(r'"([1-9][0-9]{0,8})"')
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)

Change = TypeVar("Change", bound=BaseModel)
T = TypeVar("T")


def admin_router(registry: ModelRegistry, settings: Settings) -> APIRouter:
    """Return the administration endpoints."""
    router = APIRouter(prefix="/v1/models/{name}", tags=["Administration"])
    handler = _AdminHandler(registry, settings)
    _add_aliases(router, registry, handler)
    _add_canary(router, registry, handler)
    return router


def _add_aliases(router: APIRouter, registry: ModelRegistry, handler: "_AdminHandler") -> None:
    """Add the endpoints that show and move an alias."""

    @router.get("/aliases/{alias}", responses=openapi.PROBLEMS_OF_ALIASES)
    async def show_alias(name: str, alias: str, response: Response) -> admin.AliasState:
        """Version of an alias; send its `ETag` as `If-Match` to change it."""
        return await handler.state(name, alias, response)

    @router.put("/aliases/{alias}", **openapi.change(admin.AliasChange, conditional=True))
    async def set_alias(
        request: Request, name: str, alias: str, response: Response
    ) -> admin.AliasState:
        """Point an alias to a version, once it is loaded and reproduces its golden outputs."""
        handler.authorise(request)
        precondition = _precondition(request)
        change = await handler.read(request, admin.AliasChange)

        def move() -> None:
            expected = _expected_version(precondition, lambda: registry.pointed(name, alias))
            registry.promote(name, alias, change.version, expected)

        await handler.run(move)
        return await handler.state(name, alias, response)

    @router.post("/aliases/{alias}/rollback", **openapi.change(None, conditional=True))
    async def roll_back(
        request: Request, name: str, alias: str, response: Response
    ) -> admin.AliasState:
        """Point an alias back to its previous version; repeated calls go back further."""
        handler.authorise(request)
        precondition = _precondition(request)

        def move() -> None:
            expected = _expected_version(precondition, lambda: registry.pointed(name, alias))
            registry.roll_back(name, alias, expected)

        await handler.run(move)
        return await handler.state(name, alias, response)


def _add_canary(router: APIRouter, registry: ModelRegistry, handler: "_AdminHandler") -> None:
    """Add the endpoints that show and change the share of the canary."""

    @router.get("/canary", responses=openapi.PROBLEMS_OF_MODELS)
    async def show_canary(name: str) -> admin.CanaryState:
        """Share of the requests without a version that the canary answers."""
        registry.lookup.find_model(name)
        return _canary(registry, name)

    @router.put("/canary", **openapi.change(admin.CanaryChange, conditional=False))
    async def set_canary(request: Request, name: str) -> admin.CanaryState:
        """Change the share of the canary, in this process and until it stops."""
        handler.authorise(request)
        change = await handler.read(request, admin.CanaryChange)
        registry.lookup.find_model(name)
        registry.lookup.shares.change(name, change.share)
        return _canary(registry, name)


class _AdminHandler:
    """Authorises changes, reads their bodies, and limits how many run at the same time."""

    def __init__(self, registry: ModelRegistry, settings: Settings) -> None:
        self._registry = registry
        self._token = settings.security.admin_token
        self._timeout_s = settings.limits.body_timeout_s
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT_CHANGES)

    def authorise(self, request: Request) -> None:
        """Verify the token of a request.

        Raises:
            AdminOff: the service has no token.
            NotAuthorised: the request does not carry the token.
        """
        if self._token is None:
            raise AdminOff("set G2D_ADMIN_TOKEN to allow changes over HTTP")
        bearer = _BEARER.fullmatch(request.headers.get("authorization", ""))
        received = bearer[1].encode("latin-1") if bearer else b""
        if not hmac.compare_digest(received, self._token.get_secret_value().encode()):
            raise NotAuthorised("send the admin token as Authorization: Bearer TOKEN")

    async def read(self, request: Request, schema: type[Change]) -> Change:
        """Return the body of an authorised request.

        Raises:
            UnsupportedEncoding: the body is not declared as JSON.
            InputTooLarge: the body is longer than any change.
            RequestValidationError: the body is not JSON that matches the schema.
        """
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json" or "content-encoding" in request.headers:
            raise UnsupportedEncoding(
                "send the change as application/json without Content-Encoding"
            )
        body = await read_body(
            request,
            max_bytes=_MAX_BODY_BYTES,
            timeout_s=self._timeout_s,
            deadline=Deadline(self._timeout_s),
            account=lambda _: None,
        )
        try:
            return schema.model_validate_json(body)
        except ValidationError as error:
            raise RequestValidationError(
                [{**item, "loc": ("body", *_known_location(item))} for item in error.errors()]
            ) from error

    async def run(self, change: Callable[[], T]) -> T:
        """Make a change in a thread.

        Raises:
            ModelNotFound: the change refers to something that does not exist.
        """
        async with self._slots:
            try:
                return await asyncio.to_thread(change)
            except ModelNotFound as error:  # its message quotes the path of the request
                raise ModelNotFound(_NOT_FOUND) from error

    async def state(self, name: str, alias: str, response: Response) -> admin.AliasState:
        """Return the version of an alias, and set the ETag of the response."""
        version = await asyncio.to_thread(self._registry.pointed, name, alias)
        response.headers["etag"] = f'"{version}"'
        response.headers["cache-control"] = "no-store"
        answering = self._registry.lookup.answering(name, alias)
        return admin.AliasState(name=name, alias=alias, version=version, answering=answering)


def _known_location(fault: ErrorDetails) -> tuple[int | str, ...]:
    """Return the location of a fault in a body, without a name that the client made up."""
    return fault["loc"][:-1] if fault["type"] == "extra_forbidden" else fault["loc"]


def _precondition(request: Request) -> str:
    """Return the ETags of `If-Match`, or `_NO_ALIAS` for an alias that is to be created.

    Raises:
        PreconditionMissing: the request has neither header.
    """
    if values := request.headers.getlist("if-match"):
        return ", ".join(values)
    if request.headers.get("if-none-match", "").strip() == "*":
        return _NO_ALIAS
    raise PreconditionMissing(
        "send If-Match with the ETag of the alias, or If-None-Match: * to create an alias"
    )


def _expected_version(precondition: str, current: Callable[[], int]) -> int:
    """Return the version that an alias must still point to, 0 for none (RFC 9110 13.1.1).

    Args:
        precondition: from `_precondition`.
        current: returns the version that the alias points to.

    Raises:
        ModelNotFound: any version is accepted, but there is no such alias.
        AliasConflict: none of the ETags can be one of this service.
    """
    if precondition == _NO_ALIAS:
        return 0
    if precondition.strip() == "*":
        return current()
    matches = (_ETAG.fullmatch(tag.strip()) for tag in precondition.split(",")[:32])
    versions = [int(match[1]) for match in matches if match]
    if not versions:
        raise AliasConflict("If-Match has no ETag of this alias")
    return versions[0] if len(versions) == 1 else _one_of(set(versions), current())


def _one_of(versions: set[int], current: int) -> int:
    if current not in versions:
        raise AliasConflict("the alias points to none of the versions in If-Match")
    return current


def _canary(registry: ModelRegistry, name: str) -> admin.CanaryState:
    answering = registry.lookup.answering(name, CANARY)
    return admin.CanaryState(name=name, share=registry.lookup.shares.of(name), answering=answering)
