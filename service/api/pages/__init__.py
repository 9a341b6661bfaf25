"""Web pages: `/` to look at radiographs, `/models`, `/jobs`, and `/docs` to read the interface.

    /            index.html    /models    models.html    /jobs    jobs.html    /docs    docs.html
    /assets/*    their modules, styles and samples

No build step is needed, no page loads anything from another host, and links are relative, so that
the pages work below any path of a proxy. Where that path is known, it is the base of the links.
"""

import hashlib
import html
from collections.abc import Awaitable, Callable, Iterator
from importlib import resources
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

_PAGES = {"/": "index.html", "/models": "models.html", "/jobs": "jobs.html", "/docs": "docs.html"}
_MEDIA_TYPES = {
    "css": "text/css",
    "jpg": "image/jpeg",
    "js": "text/javascript",
    "png": "image/png",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""No inline script or style, and no text that becomes either."""


def pages_router() -> APIRouter:
    """Return the pages; their files are read once."""
    router = APIRouter(include_in_schema=False)
    folder = resources.files(__package__)
    for path, file in _PAGES.items():
        page = folder.joinpath(file).read_bytes()
        router.add_api_route(path, _page(page), methods=["GET"], response_model=None)
    assets = dict(_assets(folder.joinpath("assets")))

    @router.get("/assets/{file}", response_model=None)
    async def asset(request: Request, file: str) -> Response:
        if file not in assets:
            raise HTTPException(404)
        return _fresh(request, *assets[file])

    return router


def _page(data: bytes) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:
        return _fresh(request, _based(data, request.scope.get("root_path", "")), "text/html")

    return page


def _based(page: bytes, root: str) -> bytes:
    """Return a page whose links begin at the root path, even if its address lacks the slash."""
    if not root:
        return page
    base = f'<head>\n<base href="{html.escape(root)}/">'
    return page.replace(b"<head>", base.encode(), 1)


def _fresh(request: Request, data: bytes, media_type: str) -> Response:
    """Return a file, or 304 if the browser has it; it asks each time, as the service may be new."""
    etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
    headers = {"content-security-policy": _POLICY, "cache-control": "no-cache", "etag": etag}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)


def _assets(folder: Traversable) -> Iterator[tuple[str, tuple[bytes, str]]]:
    """Yield the name of each file with its bytes and its media type."""
    for file in folder.iterdir():
        media_type = _MEDIA_TYPES.get(file.name.rpartition(".")[2])
        if media_type is not None:
            yield file.name, (file.read_bytes(), media_type)
