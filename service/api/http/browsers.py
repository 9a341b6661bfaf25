"""Protection of browsers and host names: CORS, allowed hosts.

request --> host allowed? --> CORS --> application
"""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.http import problems
from service.api.http.request_context import context_of, path_of
from service.settings import WebSettings

_EXEMPT = ("/health/live", "/health/ready", "/metrics")
_MISDIRECTED = problems.Kind(421, "misdirected-request", "Misdirected Request")
_SENT = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "X-Request-Id",
    "X-Request-Timeout",
    "traceparent",
)
_SHOWN = (
    "ETag",
    "Location",
    "Retry-After",
    "Server-Timing",
    "X-Model-Version",
    "X-Request-Id",
    "traceparent",
)


def install(app: FastAPI, settings: WebSettings) -> None:
    """Add what the settings ask for to an application, inside the context of requests."""
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST", "PUT", "DELETE"),
            allow_headers=_SENT,
            expose_headers=_SHOWN,
        )
    if settings.allowed_hosts:
        app.add_middleware(_AllowedHosts, names=settings.allowed_hosts)


class _AllowedHosts:
    """ASGI middleware that refuses requests for other names of this host."""

    def __init__(self, app: ASGIApp, names: tuple[str, ...]) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names if not name.startswith("*."))
        self._endings = tuple(name[1:].lower() for name in names if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or path_of(scope) in _EXEMPT or self._is_allowed(scope):
            await self._app(scope, receive, send)
            return
        detail = "this service does not answer for the host of the request"
        await problems.respond(context_of(scope), _MISDIRECTED, detail)(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1:
            return False
        name = _without_port(hosts[0].decode("latin-1").lower())
        return name in self._names or (bool(self._endings) and name.endswith(self._endings))


def _without_port(host: str) -> str:
    """Return the name or the bracketed IPv6 address of `NAME[:PORT]`."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host
