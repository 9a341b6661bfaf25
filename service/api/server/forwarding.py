"""Headers of proxies that are trusted, and the path below which they show the service.

X-Forwarded-For, X-Forwarded-Proto --> client and scheme of the request
G2D_ROOT_PATH, or else X-Forwarded-Prefix --> root path, with which links to this service begin

A request that is not from a trusted proxy keeps what the connection says.
"""

from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service.settings.access.web import ROOT_PATH


class ForwardedHeaders:
    """ASGI middleware around the application that reads the headers of trusted proxies.

    Args:
        app: the application.
        root_path: path below which the service is shown, whatever a proxy says; empty for none.
        trusted_hosts: addresses and networks of the proxies, separated by commas; `*` for all.
    """

    def __init__(self, app: ASGIApp, root_path: str, trusted_hosts: str) -> None:
        inner: Any = app  # uvicorn has ASGI types of its own
        self._app: Any = ProxyHeadersMiddleware(inner, trusted_hosts)
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request as its client sent it to the proxy."""
        if scope["type"] == "http":
            root = self._root_path or self._forwarded_prefix(scope)
            path: str = scope["path"]
            scope["root_path"] = root
            if root and path == root:
                scope["path"] = f"{root}/"
            elif root and not path.startswith(f"{root}/"):
                scope["path"] = root + path  # the proxy stripped it; in ASGI, the path has it
        await self._app(scope, receive, send)

    def _forwarded_prefix(self, scope: Scope) -> str:
        """Return the prefix that a trusted proxy states, or nothing."""
        client = scope.get("client")
        if (client[0] if client else None) not in self._app.trusted_hosts:
            return ""
        stated = [value for name, value in scope["headers"] if name == b"x-forwarded-prefix"]
        if len(stated) != 1:
            return ""
        prefix: str = stated[0].decode("latin-1").strip().rstrip("/")
        return prefix if ROOT_PATH.fullmatch(prefix) else ""
