"""Checks that every problem in a response must pass."""

from typing import Any

import httpx

from service.api.schemas.problems import Problem


def check(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """Return the body of a response after checking that it is a problem of a status and kind."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    Problem.model_validate(body)
    assert body["type"] == f"urn:g2d:problem:{slug}"
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    if status in (429, 503):
        assert int(response.headers["retry-after"]) >= 1
    return body
