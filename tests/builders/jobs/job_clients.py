"""A client that submits a job and waits until it is finished."""

import asyncio
from typing import Any

import httpx

WAIT_S = 120


async def accepted(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], query: str = ""
) -> str:
    """Submit a job and return its path."""
    response = await client.post(f"/v1/jobs{query}", content=content, headers=headers)
    assert response.status_code == 202, response.text
    assert int(response.headers["retry-after"]) >= 1
    return response.headers["location"]


async def finished(
    client: httpx.AsyncClient, address: str, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """Wait until a job is finished and return it."""
    async with asyncio.timeout(WAIT_S):
        while True:
            response = await client.get(address, headers=headers)
            assert response.status_code == 200, response.text
            job: dict[str, Any] = response.json()
            if job["state"] == "finished":
                assert "retry-after" not in response.headers
                return job
            await asyncio.sleep(0.02)


async def results(client: httpx.AsyncClient, address: str) -> list[dict[str, Any]]:
    """Wait until a job is finished and return its items with their results."""
    await finished(client, address)
    response = await client.get(f"{address}/results")
    items: list[dict[str, Any]] = response.json()["items"]
    return items
