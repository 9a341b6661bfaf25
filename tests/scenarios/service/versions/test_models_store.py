"""A service whose models are in a store: it follows the store, and outlives it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from radiograph.repository.repository import Repository
from radiograph.repository.store.object_store import ObjectStore
from radiograph.repository.store.stored_repository import StoredRepository
from service.errors import InvalidSettings
from service.model_repository import open_repository
from service.settings import ModelSettings, Settings
from tests.builders.files.s3_server import S3Server, s3_server
from tests.fixtures.service import Start


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture
def location(server: S3Server, tmp_path: Path) -> str:
    return f"s3://bucket/{tmp_path.name}"


@pytest.fixture
def publisher(location: str, distinct_models: Path, tmp_path: Path) -> StoredRepository:
    """Another machine, which has put two versions into the store, the first as `stable`."""
    made = StoredRepository(ObjectStore(location), tmp_path / "publisher")
    assert made.upload(Repository(distinct_models), "tiny") == [1, 2]
    return made


@pytest.fixture
async def client(
    publisher: StoredRepository,
    start: Start,
    location: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    async with start(models_dir=location, watch_interval_s=0.05, admin_token="t" * 32) as (_, made):
        yield made


async def until(holds: Callable[[httpx.Response], bool], client: httpx.AsyncClient) -> None:
    """Wait until the readiness probe or the list of models says something."""
    async with asyncio.timeout(60):
        while not holds(await client.get("/health/ready")):  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.05)


async def answered(client: httpx.AsyncClient, number: int) -> None:
    """Wait until `stable` is answered by a version."""
    async with asyncio.timeout(60):
        while True:
            found = await client.get("/v1/models/tiny/aliases/stable")
            if found.json()["answering"] == number:
                return
            await asyncio.sleep(0.05)


async def test_the_service_follows_aliases_of_the_store(
    client: httpx.AsyncClient, publisher: StoredRepository, rectangle_png: bytes
) -> None:
    await answered(client, 1)
    await asyncio.to_thread(publisher.set_alias, "tiny", "stable", 2)
    await answered(client, 2)
    png = {"content-type": "image/png"}
    answer = await client.post("/classify", content=rectangle_png, headers=png)
    assert answer.json()["model"]["version"] == 2


async def test_an_alias_that_is_moved_over_http_moves_in_the_store(
    client: httpx.AsyncClient, publisher: StoredRepository
) -> None:
    headers = {"authorization": f"Bearer {'t' * 32}", "if-match": '"1"'}
    moved = await client.put("/v1/models/tiny/aliases/stable", json={"version": 2}, headers=headers)
    assert moved.status_code == 200, moved.text
    await asyncio.to_thread(publisher.refresh)
    assert publisher.aliases("tiny") == {"stable": 2}


async def test_a_store_that_is_gone_is_told_while_the_service_answers(
    client: httpx.AsyncClient, server: S3Server, rectangle_png: bytes
) -> None:
    await answered(client, 1)
    await asyncio.to_thread(server.stop)
    try:
        await until(lambda probe: probe.json().get("models_store") == "failing", client)
        assert (await client.get("/health/ready")).status_code == 200
        assert "g2d_models_store_failing 1.0" in (await client.get("/metrics")).text
        png = {"content-type": "image/png"}
        assert (await client.post("/classify", content=rectangle_png, headers=png)).is_success
    finally:
        await asyncio.to_thread(server.start)
    await until(lambda probe: "models_store" not in probe.json(), client)


@pytest.mark.parametrize("location", ["s3://", "s3:/"])
def test_a_location_that_is_none_stops_the_start(location: str) -> None:
    with pytest.raises(InvalidSettings, match="G2D_MODELS_DIR"):
        open_repository(ModelSettings(models_dir=Path(location)))


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InvalidSettings, match="extra `store`"):
        open_repository(Settings.of(models_dir="s3://bucket/models").models)
