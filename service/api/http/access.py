"""Dependencies of the routes that need a scope; they give the request its principal.

Authorization --> Access.authorise --> RequestContext.principal --> Quota, or 401 | 403 | 429

They run before the parameters and the body of a request are looked at.
"""

import logging
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Depends, Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from service.api.http.request_context import RequestContext, context_of
from service.auth import attempts
from service.auth.access import Access
from service.auth.principal import Scope
from service.errors import NotAuthorised

logger = logging.getLogger("g2d.access")

_DESCRIPTION = (
    "An API key, a JWT of the identity provider, or for administration the token in "
    "`G2D_ADMIN_TOKEN`."
)


def requires(access: Access, scope: Scope) -> list[Any]:
    """Return the dependencies of routes that need a scope; none if it is open to everybody."""
    gate = [Security(_Gate(access, scope), scopes=[scope.value])]
    places = [Depends(_places(access))] if access.quota.is_set else []
    return places if access.is_open(scope) else gate + places


class _Gate(SecurityBase):
    """Admits the requests whose client holds a scope. FastAPI describes it in OpenAPI."""

    def __init__(self, access: Access, scope: Scope) -> None:
        self.model = HTTPBearer(description=_DESCRIPTION)
        self.scheme_name = "token"
        self._access = access
        self._scope = scope

    async def __call__(self, request: Request) -> None:
        context = context_of(request.scope)
        authorization = request.headers.getlist("authorization")
        try:
            context.principal = await self._access.authorise(
                self._scope, authorization, _source(request)
            )
        except NotAuthorised as error:
            if authorization:
                self._report(context, error.reason, _source(request))
            raise

    def _report(self, context: RequestContext, reason: str, source: str) -> None:
        """Log and count a wrong token, never the token itself."""
        fields = {**context.log_fields(), "reason": reason}
        match self._access.log_refused_source:
            case "kind":
                fields["source"] = attempts.kind(source)
            case "address":
                fields["source"] = source
        logger.warning("wrong token", extra={"fields": fields})
        self._access.observer.wrong_token(reason, context.request_id)


def _places(access: Access) -> Any:
    """Return the dependency that counts a request of its client until it is answered."""

    async def place(request: Request) -> AsyncIterator[None]:
        owner = context_of(request.scope).principal.owner
        with access.quota.admitted(owner or attempts.network(_source(request))):
            yield

    return place


def _source(request: Request) -> str:
    return "unknown" if request.client is None else request.client.host
