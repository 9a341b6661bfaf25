"""Web pages: self-contained, with a strict Content-Security-Policy."""

import re

import httpx
import pytest


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_a_page_loads_nothing_from_other_hosts(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert not re.search(r"(https?:)?//[a-z]", response.text)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
