"""A version replaces another while requests run: none fails, and no answer mixes the two."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import numpy as np
import pytest

from radiograph.errors import ModelNotFound
from radiograph.manifest import ModelManifest
from radiograph.repository.repository import Repository
from service.backends.base import Backend, BackendFactory, FloatArray
from service.backends.ort.backend import OrtBackend
from service.backends.ort.graph import GraphCache
from service.registry.state import State
from tests.builders.files import sample_files
from tests.builders.models.versions.distinct_versions import (
    answered_probability,
    probability,
    publish,
)
from tests.builders.service.backends.ort_graphs import graph_cache
from tests.builders.service.http.admin_calls import ADMIN, TOKEN
from tests.builders.service.registry.registries import load, states
from tests.builders.service.registry.version_log import VersionLog
from tests.fixtures.service import Start

BLACK = sample_files.png_file(np.zeros((64, 64), np.uint16))


@pytest.fixture
def log() -> VersionLog:
    return VersionLog()


def test_a_moved_alias_is_taken_up_and_the_version_before_is_kept(
    root: Path, log: VersionLog
) -> None:
    registry = load(root, log)
    Repository(root).set_alias("tiny", "stable", 2)
    registry.refresh()
    assert registry.lookup.ready().identity.version == 2
    assert states(registry) == {2: State.READY, 1: State.RETIRED}
    assert log.moves == [("stable", 1), ("stable", 2)]
    assert log.versions == [
        (1, "loading"),
        (1, "ready"),
        (2, "loading"),
        (1, "retired"),
        (2, "ready"),
    ]


def test_a_retired_version_takes_no_new_requests_by_number(root: Path) -> None:
    registry = load(root)
    Repository(root).set_alias("tiny", "stable", 2)
    registry.refresh()
    with (
        pytest.raises(ModelNotFound, match=r"served: tiny/2 \(stable\)"),
        registry.lookup.lease("tiny", "1"),
    ):
        pass


def test_an_alias_that_moves_to_and_fro_between_kept_versions_loads_nothing(
    root: Path, log: VersionLog
) -> None:
    registry = load(root, log)
    for version in (2, 1, 2, 1):
        Repository(root).set_alias("tiny", "stable", version)
        registry.refresh()
        assert registry.lookup.ready().identity.version == version
    assert log.loads == [1, 2]


def test_only_versions_that_an_alias_points_to_are_served(root: Path) -> None:
    publish(root, bias=3.0, alias=None)
    publish(root, bias=4.0, alias="canary")
    lookup = load(root).lookup
    assert [(status.version, status.aliases) for status in lookup.versions()] == [
        (1, ("stable",)),
        (4, ("canary",)),
    ]
    with pytest.raises(ModelNotFound, match=r"served: tiny/1 \(stable\); tiny/4 \(canary\)"):
        lookup.find("tiny", "3")


def test_a_new_model_is_taken_up(root: Path) -> None:
    registry = load(root)
    publish(root, bias=4.0, name="other")
    registry.refresh()
    assert registry.lookup.ready("other").identity.version == 1
    assert registry.lookup.ready().identity.name == "tiny"


async def test_a_running_service_takes_up_what_is_published(
    start: Start, root: Path, log: VersionLog
) -> None:
    async with start(observer=log, models_dir=root, watch_interval_s=0.01) as (_, client):
        assert log.moved.acquire(timeout=60)
        publish(root, bias=3.0)
        assert await asyncio.to_thread(log.moved.acquire, timeout=60)
        assert (await client.get("/health/ready")).status_code == 200
        assert await stable_version(client) == 3


class HeadGate(threading.Event):
    """Holds requests of version 1 before a head runs, until it is set.

    Attributes:
        reached: set once a request is held.
    """

    def __init__(self) -> None:
        super().__init__()
        self.set()
        self.reached = threading.Event()

    def backends(self, graphs: GraphCache) -> BackendFactory:
        gate = self

        class HeldBackend(OrtBackend):
            def head(self, name: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
                if not gate.is_set():
                    gate.reached.set()
                gate.wait(60)
                return super().head(name, inputs)

        def build(folder: Path, manifest: ModelManifest) -> Backend:
            backend = HeldBackend if manifest.version == 1 else OrtBackend
            return backend(folder, manifest, graphs)

        return build


@pytest.fixture
def gate() -> Iterator[HeadGate]:
    """An open gate; opened at the end as well, so that no thread is left."""
    gate = HeadGate()
    yield gate
    gate.set()


async def test_a_request_is_answered_by_the_version_that_it_began_with(
    start: Start, root: Path, gate: HeadGate
) -> None:
    backends = gate.backends(graph_cache())
    async with start(backends, models_dir=root, keep_retired=0) as (app, client):
        gate.clear()
        before = asyncio.create_task(classify(client))
        assert await asyncio.to_thread(gate.reached.wait, 60)
        Repository(root).set_alias("tiny", "stable", 2)
        await asyncio.to_thread(app.state.components.registry.refresh)
        after = await classify(client)
        gate.set()
        assert (await before, after) == (1, 2)


async def test_a_hundred_swaps_under_load_fail_no_request_and_mix_no_answer(
    start: Start, root: Path, log: VersionLog
) -> None:
    settings = {"models_dir": root, "admin_token": TOKEN, "keep_retired": 0}
    async with start(observer=log, watch_interval_s=0.01, **settings) as (_, client):
        assert log.moved.acquire(timeout=60)
        ended = asyncio.Event()

        async def ask() -> list[int]:
            answered = []
            while not ended.is_set():
                answered.append(await classify(client))
            return answered

        clients = [asyncio.create_task(ask()) for _ in range(4)]
        try:
            for swap in range(100):
                version = 2 - swap % 2
                if swap % 4 < 2:
                    await asyncio.to_thread(Repository(root).set_alias, "tiny", "stable", version)
                else:
                    await promote(client, version)
                assert await asyncio.to_thread(log.moved.acquire, timeout=60)
                assert await stable_version(client) == version
                assert (await client.get("/health/ready")).status_code == 200
        finally:
            ended.set()
        answers = await asyncio.gather(*clients)
    assert {version for answered in answers for version in answered} == {1, 2}


async def classify(client: httpx.AsyncClient) -> int:
    """Return the version that answered, once its answer is known to be that version's."""
    headers = {"content-type": "image/png"}
    response = await client.post("/v1/classify", content=BLACK, headers=headers)
    assert response.status_code == 200, response.text
    body = response.json()
    version: int = body["model"]["version"]
    assert response.headers["x-model-version"] == f"tiny/{version}"
    assert answered_probability(body) == pytest.approx(probability(float(version)), abs=1e-5)
    return version


async def stable_version(client: httpx.AsyncClient) -> int:
    body = (await client.get("/v1/models/tiny/versions/stable")).json()
    version: int = body["version"]
    return version


async def promote(client: httpx.AsyncClient, version: int) -> None:
    path = "/v1/models/tiny/aliases/stable"
    etag = (await client.get(path)).headers["etag"]
    headers = ADMIN | {"if-match": etag}
    response = await client.put(path, json={"version": version}, headers=headers)
    assert (response.status_code, response.json()["answering"]) == (200, version), response.text
