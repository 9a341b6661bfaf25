"""Web pages: `/` to try a radiograph, `/docs` to read the interface.

Each page is one file without a framework, and neither of them loads anything from another host.
"""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from importlib import resources

from fastapi import APIRouter
from starlette.responses import HTMLResponse

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def pages_router() -> APIRouter:
    """Return the pages; their files are read once."""
    router = APIRouter(include_in_schema=False)
    for path, file in (("/", "index.html"), ("/docs", "docs.html")):
        text = resources.files(__package__).joinpath(file).read_text(encoding="utf-8")
        router.add_api_route(path, _handler(text), methods=["GET"], response_model=None)
    return router


def _handler(text: str) -> Callable[[], Awaitable[HTMLResponse]]:
    headers = {"content-security-policy": _policy(text), "cache-control": "no-cache"}

    async def page() -> HTMLResponse:
        return HTMLResponse(text, headers=headers)

    return page


def _policy(text: str) -> str:
    """Return a Content-Security-Policy that allows only the script and style of the page itself."""
    allowed: dict[str, str] = {}
    for kind, content in _INLINE.findall(text):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        allowed[kind] = f"{allowed.get(kind, '')} 'sha256-{digest}'"
    return (
        f"default-src 'none'; script-src{allowed['script']}; style-src{allowed['style']}; "
        "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
