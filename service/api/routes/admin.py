"""Administration endpoints: changes to aliases and to the canary share, protected by a token.

GET  /v1/models/{name}/aliases/{alias}             version of an alias, with its ETag
PUT  /v1/models/{name}/aliases/{alias}             If-Match; {"version": 4}
POST /v1/models/{name}/aliases/{alias}/rollback    If-Match
GET | PUT /v1/models/{name}/canary                 {"share": 0.1}

A change: scope `admin` -> precondition -> body -> load and verify the version -> move the alias.
No body is read before the token has been verified.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from radiograph.errors import (
    AliasConflict,
    MalformedInput,
    ModelNotFound,
    UnsupportedEncoding,
)
from service.api.http.access import requires
from service.api.http.header_fields import listed, single
from service.api.http.request_context import context_of
from service.api.schemas import admin, openapi
from service.api.uploads.json_body import read_json
from service.audit.auditor import Auditor
from service.audit.chain.entry import Act, Entry
from service.auth.access import Access
from service.auth.principal import Scope
from service.errors import PreconditionMissing
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

Change = TypeVar("Change", bound=BaseModel)
T = TypeVar("T")


def admin_router(
    registry: ModelRegistry, settings: Settings, access: Access, auditor: Auditor
) -> APIRouter:
    """Return the administration endpoints; the scope `infer` suffices for those that only read."""
    router = APIRouter(prefix="/v1/models/{name}", tags=["Administration"])
    handler = _AdminHandler(registry, settings, auditor)
    reading, changing = requires(access, Scope.INFER), requires(access, Scope.ADMIN)
    _add_aliases(router, registry, handler, reading, changing)
    _add_canary(router, registry, handler, reading, changing)
    return router


def _add_aliases(
    router: APIRouter,
    registry: ModelRegistry,
    handler: "_AdminHandler",
    reading: list[Any],
    changing: list[Any],
) -> None:
    """Add the endpoints that show and move an alias."""

    @router.get("/aliases/{alias}", dependencies=reading, responses=openapi.PROBLEMS_OF_ALIASES)
    async def show_alias(name: str, alias: str, response: Response) -> admin.AliasState:
        """Version of an alias; send its `ETag` as `If-Match` to change it."""
        return await handler.state(name, alias, response)

    @router.put(
        "/aliases/{alias}",
        dependencies=changing,
        **openapi.change(admin.AliasChange, conditional=True),
    )
    async def set_alias(
        request: Request, name: str, alias: str, response: Response
    ) -> admin.AliasState:
        """Point an alias to a version, once it is loaded and reproduces its golden outputs."""
        precondition = _precondition(request)
        change = await handler.read(request, admin.AliasChange)

        def move() -> None:
            expected = _expected_version(precondition, lambda: registry.pointed(name, alias))
            registry.promote(name, alias, change.version, expected)

        await handler.run(move, request, Entry(Act.SET_ALIAS, alias=alias, version=change.version))
        return await handler.state(name, alias, response)

    @router.post(
        "/aliases/{alias}/rollback",
        dependencies=changing,
        **openapi.change(None, conditional=True),
    )
    async def roll_back(
        request: Request, name: str, alias: str, response: Response
    ) -> admin.AliasState:
        """Point an alias back to its previous version; repeated calls go back further."""
        precondition = _precondition(request)

        def move() -> None:
            expected = _expected_version(precondition, lambda: registry.pointed(name, alias))
            registry.roll_back(name, alias, expected)

        await handler.run(move, request, Entry(Act.ROLL_BACK, alias=alias))
        return await handler.state(name, alias, response)


def _add_canary(
    router: APIRouter,
    registry: ModelRegistry,
    handler: "_AdminHandler",
    reading: list[Any],
    changing: list[Any],
) -> None:
    """Add the endpoints that show and change the share of the canary."""

    @router.get("/canary", dependencies=reading, responses=openapi.PROBLEMS_OF_MODELS)
    async def show_canary(name: str) -> admin.CanaryState:
        """Share of the requests without a version that the canary answers."""
        registry.lookup.find_model(name)
        return _canary(registry, name)

    @router.put(
        "/canary", dependencies=changing, **openapi.change(admin.CanaryChange, conditional=False)
    )
    async def set_canary(request: Request, name: str) -> admin.CanaryState:
        """Change the share of the canary, in this process and until it stops."""
        change = await handler.read(request, admin.CanaryChange)

        def move() -> None:
            registry.set_canary_share(name, change.share)

        await handler.run(move, request, Entry(Act.SET_CANARY, alias=CANARY))
        return _canary(registry, name)


class _AdminHandler:
    """Reads the bodies of changes, and limits how many run at the same time."""

    def __init__(self, registry: ModelRegistry, settings: Settings, auditor: Auditor) -> None:
        self._registry = registry
        self._auditor = auditor
        self._aliases = (CANARY, *settings.models.served_aliases)
        self._timeout_s = settings.limits.body_timeout_s
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT_CHANGES)

    async def read(self, request: Request, schema: type[Change]) -> Change:
        """Return the body of an authorised request.

        Raises:
            UnsupportedEncoding: the body is not declared as JSON.
            InputTooLarge: the body is longer than any change.
            RequestValidationError: the body is not JSON that matches the schema.
        """
        media_type = (single(request, "content-type") or "").partition(";")[0].strip().lower()
        if media_type != "application/json" or "content-encoding" in request.headers:
            raise UnsupportedEncoding(
                "send the change as application/json without Content-Encoding"
            )
        return await read_json(request, schema, _MAX_BODY_BYTES, self._timeout_s)

    async def run(self, change: Callable[[], T], request: Request, entry: Entry) -> T:
        """Make a change in a thread; the audit log has it before it is made, and how it ended.

        Args:
            change: makes the change.
            request: request for it.
            entry: act, alias and version.

        Raises:
            ModelNotFound: the change refers to something that does not exist.
            AuditUnavailable: the audit log cannot be written; nothing was changed.
        """
        async with self._slots, self._auditor.change(self._known(request, entry)) as audited:
            await audited.begins()
            try:
                return await asyncio.to_thread(change)
            except ModelNotFound as error:  # its message quotes the path of the request
                raise ModelNotFound(_NOT_FOUND) from error

    def _known(self, request: Request, entry: Entry) -> Entry:
        """Complete an entry; names of the request that the service does not know are left out."""
        context, name = context_of(request.scope), request.path_params["name"]
        return replace(
            entry,
            principal=context.principal.id,
            request_id=context.request_id,
            model=name
            if any(name == known for known, _ in self._registry.lookup.table.versions)
            else None,
            alias=entry.alias if entry.alias in self._aliases else None,
        )

    async def state(self, name: str, alias: str, response: Response) -> admin.AliasState:
        """Return the version of an alias, and set the ETag of the response.

        Raises:
            ModelNotFound: there is no such model or alias.
        """
        try:
            version = await asyncio.to_thread(self._registry.pointed, name, alias)
        except ModelNotFound as error:  # its message quotes the path of the request
            raise ModelNotFound(_NOT_FOUND) from error
        response.headers["etag"] = f'"{version}"'
        response.headers["cache-control"] = "no-store"
        answering = self._registry.lookup.answering(name, alias)
        return admin.AliasState(name=name, alias=alias, version=version, answering=answering)


def _precondition(request: Request) -> str:
    """Return the ETags of `If-Match`, or `_NO_ALIAS` for an alias that is to be created.

    Raises:
        PreconditionMissing: the request has neither header.
        AliasConflict: it has both, which no state of an alias meets.
        MalformedInput: it has both, and `If-None-Match` has ETags.
    """
    match, none_match = listed(request, "if-match"), listed(request, "if-none-match")
    creates = none_match is not None and none_match.strip() == "*"
    if match is not None and none_match is not None:
        if creates:  # RFC 9110 13.2.2: both are evaluated, and one of them is false
            raise AliasConflict("If-Match and If-None-Match: * exclude each other")
        raise MalformedInput("send If-Match or If-None-Match: *, not both")
    if match is not None:
        return match
    if creates:
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
