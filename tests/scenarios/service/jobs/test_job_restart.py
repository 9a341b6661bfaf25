"""Processes that are killed in the middle of a job: no item is lost, and none is answered twice."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.builders.jobs.job_bodies import ZIP, radiograph, zip_file
from tests.builders.jobs.job_clients import accepted, finished
from tests.builders.models.versions import tiny_version

ITEMS = 60


@asynccontextmanager
async def service(
    environment: dict[str, str],
) -> AsyncIterator[tuple[subprocess.Popen[bytes], httpx.AsyncClient]]:
    """Start `g2d serve` on a free port, yield it with a client once it is ready, and kill it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "g2d", "serve", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:  # noqa: ASYNC220
        try:
            address = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(base_url=address, timeout=60) as client:
                await ready(client)
                yield process, client
        finally:
            process.kill()


async def ready(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(120):
        while True:
            with suppress(httpx.TransportError):
                if (await client.get("/health/ready")).status_code == 200:
                    return
            await asyncio.sleep(0.05)


async def killed(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    await asyncio.to_thread(process.wait, 60)


def environment(models: Path, folder: Path, url: str | None) -> dict[str, str]:
    given = {
        "G2D_MODELS_DIR": str(models),
        "G2D_DEFAULT_MODEL": tiny_version.NAME,
        "G2D_JOBS_DIR": str(folder / "jobs"),
        "G2D_JOBS_LEASE_S": "4",
        "G2D_JOBS_MIN_FREE_BYTES": "0",
        "G2D_THREADS": "1",
    }
    return {**os.environ, **given, **({} if url is None else {"G2D_JOBS_URL": url})}


def study() -> bytes:
    return zip_file({f"IM{number:06d}": radiograph(number) for number in range(ITEMS)})


async def answered(client: httpx.AsyncClient, address: str, least: int) -> dict[int, Any]:
    """Return the items answered so far by number, once there are at least `least` but not all."""
    async with asyncio.timeout(120):
        while (await client.get(address)).json()["items"]["succeeded"] < least:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    items = (await client.get(f"{address}/items?state=succeeded")).json()["items"]
    assert least <= len(items) < ITEMS
    return {item["number"]: item for item in items}


async def check(client: httpx.AsyncClient, address: str, before: dict[int, Any], lost: int) -> None:
    """Check that every item was answered once, and that the answers before the kill stayed."""
    job = await finished(client, address)
    assert (job["items"]["succeeded"], job["items"]["total"]) == (ITEMS, ITEMS)
    found = (await client.get(f"{address}/results")).json()["items"]
    assert [item["number"] for item in found] == list(range(1, ITEMS + 1))
    assert all(item["result"]["masks"] for item in found)
    for number, item in before.items():
        assert item == {key: found[number - 1][key] for key in item}
    assert sum(item["attempts"] - 1 for item in found) <= lost


async def test_a_killed_service_continues_the_job_after_its_restart(
    tiny_models: Path, tmp_path: Path
) -> None:
    variables = environment(tiny_models, tmp_path, None)
    async with service(variables) as (process, client):
        address = await accepted(client, study(), ZIP, "?tasks=segment")
        before = await answered(client, address, 5)
        await killed(process)
    async with service(variables) as (_, client):
        await check(client, address, before, lost=1)


async def test_a_stopped_service_continues_the_job_after_its_restart(
    tiny_models: Path, tmp_path: Path
) -> None:
    variables = environment(tiny_models, tmp_path, None)
    async with service(variables) as (process, client):
        address = await accepted(client, study(), ZIP, "?tasks=segment")
        before = await answered(client, address, 5)
        process.terminate()
        await asyncio.to_thread(process.wait, 60)
    async with service(variables) as (_, client):
        await check(client, address, before, lost=0)


async def test_another_process_finishes_the_job_of_a_killed_one(
    tiny_models: Path, tmp_path: Path, empty_postgres: str
) -> None:
    variables = environment(tiny_models, tmp_path, empty_postgres)
    async with service(variables) as (process, client), service(variables) as (_, other):
        address = await accepted(client, study(), ZIP, "?tasks=segment")
        before = await answered(other, address, 5)
        await killed(process)
        await check(other, address, before, lost=1)


async def test_a_service_that_is_killed_during_an_upload_has_accepted_nothing(
    tiny_models: Path, tmp_path: Path
) -> None:
    variables = {**environment(tiny_models, tmp_path, None), "G2D_JOBS_LIST": "true"}
    arrived = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield bytes(2**22)
        arrived.set()
        await asyncio.Event().wait()

    async with service(variables) as (process, client):
        sending = asyncio.create_task(client.post("/v1/jobs", content=endless(), headers=ZIP))
        await asyncio.wait_for(arrived.wait(), 60)
        assert (await client.get("/v1/jobs")).json() == {"jobs": []}
        await killed(process)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    async with service(variables) as (_, client):
        assert (await client.get("/v1/jobs")).json() == {"jobs": []}
