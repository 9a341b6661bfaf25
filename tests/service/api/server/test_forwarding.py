"""Headers of trusted proxies, and the path below which they show the service."""

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from service.api.http.request_context import path_of
from service.api.server.forwarding import ForwardedHeaders
from service.errors import InvalidSettings
from service.settings import Settings
from tests.fixtures.service import Start

PROXY, STRANGER = ("10.0.0.1", 1), ("203.0.113.9", 1)


async def seen(
    path: str,
    root_path: str = "",
    client: tuple[str, int] = PROXY,
    headers: dict[str, str] | None = None,
) -> Scope:
    """Return the scope that the application gets for one request."""
    scopes: list[Scope] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    transport = httpx.ASGITransport(
        ForwardedHeaders(application, root_path, "10.0.0.0/8"), client=client
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://g2d") as client_:
        await client_.get(path, headers=headers)
    return scopes[0]


@pytest.mark.parametrize("path", ["/v1/models", "/g2d/v1/models"])
async def test_a_root_path_holds_whether_the_proxy_strips_it_or_not(path: str) -> None:
    scope = await seen(path, "/g2d", STRANGER)
    assert (scope["root_path"], scope["path"]) == ("/g2d", "/g2d/v1/models")
    assert path_of(scope) == "/v1/models"


async def test_the_prefix_of_a_trusted_proxy_is_used() -> None:
    headers = {"X-Forwarded-Prefix": "/a/b/", "X-Forwarded-For": "1.2.3.4"}
    scope = await seen("/v1/models", headers=headers)
    assert (scope["root_path"], scope["path"]) == ("/a/b", "/a/b/v1/models")
    assert scope["client"][0] == "1.2.3.4"


async def test_a_client_that_is_no_proxy_sets_no_prefix() -> None:
    headers = {"X-Forwarded-Prefix": "/evil", "X-Forwarded-For": "10.0.0.7"}
    scope = await seen("/v1/models", client=STRANGER, headers=headers)
    assert (scope["root_path"], scope["path"]) == ("", "/v1/models")
    assert scope["client"] == STRANGER


@pytest.mark.parametrize(
    "prefix",
    [
        "//evil.example",
        "https://evil.example",
        "g2d",
        "/a/../b",
        "/a b",
        "/a,/b",
        "/%2e",
        "/",
        '/"',
    ],
)
async def test_a_prefix_that_is_no_plain_path_is_left_out(prefix: str) -> None:
    scope = await seen("/v1/models", headers={"X-Forwarded-Prefix": prefix})
    assert (scope["root_path"], scope["path"]) == ("", "/v1/models")


async def test_the_root_path_itself_is_the_first_page() -> None:
    assert (await seen("/g2d", "/g2d"))["path"] == "/g2d/"


async def test_a_neighbouring_path_is_not_below_the_root() -> None:
    scope = await seen("/g2d-other", "/g2d")
    assert scope["path"] == "/g2d/g2d-other"


@pytest.mark.parametrize("value", ["g2d", "//g2d", "/a/../b", "https://g2d.example.org", "/a b"])
def test_a_root_path_that_is_no_path_is_refused(value: str) -> None:
    with pytest.raises(InvalidSettings, match="G2D_ROOT_PATH"):
        Settings.of(root_path=value)


async def test_links_and_openapi_begin_with_the_root_path(
    start: Start, rectangle_dicom: bytes
) -> None:
    async with start() as (app, _):
        transport = httpx.ASGITransport(ForwardedHeaders(app, "/g2d", ""))
        async with httpx.AsyncClient(transport=transport, base_url="http://g2d") as client:
            for path in ("/g2d/openapi.json", "/openapi.json"):
                assert (await client.get(path)).json()["servers"] == [{"url": "/g2d"}]
            files = [("file", ("a.dcm", rectangle_dicom))]
            job = await client.post("/g2d/v1/jobs", files=files)
            assert job.headers["location"].startswith("/g2d/v1/jobs/")
            assert (await client.get(job.headers["location"])).status_code == 200
            for path in ("/g2d", "/g2d/", "/"):
                page = await client.get(path)
                assert page.status_code == 200
                assert '<base href="/g2d/">' in page.text
