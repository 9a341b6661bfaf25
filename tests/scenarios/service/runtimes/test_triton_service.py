"""The service with a real Triton: every task, and a Triton that is killed and restarted."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from radiograph.repository.repository import Repository
from service.backends.triton import repository_view
from tests.builders.models.versions import tiny_version
from tests.builders.service.http.problem_check import check
from tests.builders.triton.triton_process import Triton
from tests.fixtures.service import Start

DICOM = {"content-type": "application/dicom"}
PATHS = ("/classify", "/segment", "/detect", "/ground?phrase=bright&heatmap=float", "/analyze")


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    server = Triton(tmp_path_factory.mktemp("triton"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def changes(triton: Triton, tiny_models: Path) -> dict[str, Any]:
    """Settings of a service that uses this Triton."""
    repository_view.render(Repository(tiny_models), triton.repository)
    return {
        "backend": "triton",
        "triton_url": triton.url(),
        "triton_wait_s": 0.0,
        "triton_shared_memory": True,
        "triton_unload": False,
    }


class LogWaiter(logging.Handler):
    """Handler that lets the event loop wait for a message."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        async with asyncio.timeout(120):
            await self._event.wait()


@pytest.fixture
async def back(caplog: pytest.LogCaptureFixture) -> AsyncIterator[LogWaiter]:
    handler, logger = LogWaiter("Triton is back"), logging.getLogger("g2d.triton")
    logger.addHandler(handler)
    with caplog.at_level(logging.INFO, "g2d.triton"):
        yield handler
    logger.removeHandler(handler)


def comparable(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key not in ("request_id", "timings_ms")}


async def ask(client: httpx.AsyncClient, path: str, data: bytes) -> httpx.Response:
    return await client.post(path, content=data, headers=DICOM)


async def test_every_task_has_the_same_answer_as_without_triton(
    start: Start, changes: dict[str, Any], rectangle_dicom: bytes
) -> None:
    async with start() as (_, local), start(**changes) as (_, client):
        version = (await client.get("/v1/models/tiny/versions/1")).json()
        assert version["providers"] == ["Triton"]
        for path in PATHS:
            expected = await ask(local, path, rectangle_dicom)
            found = await ask(client, path, rectangle_dicom)
            assert (expected.status_code, found.status_code) == (200, 200)
            assert comparable(found.json()) == comparable(expected.json())


async def test_a_killed_triton_means_503_until_it_is_back(
    start: Start, triton: Triton, changes: dict[str, Any], rectangle_dicom: bytes, back: LogWaiter
) -> None:
    async with start(**changes) as (_, client):
        before = await ask(client, "/analyze?phrase=bright", rectangle_dicom)
        assert before.status_code == 200
        await asyncio.to_thread(triton.kill)
        for path in PATHS:
            response = await ask(client, path, rectangle_dicom)
            check(response, 503, "backend-unavailable")
            assert "127.0.0.1" not in response.text
        assert (await client.get("/health/live")).status_code == 200
        await asyncio.to_thread(triton.start)
        await back.wait()
        after = await ask(client, "/analyze?phrase=bright", rectangle_dicom)
        assert after.status_code == 200
        assert comparable(after.json()) == comparable(before.json())


async def test_a_triton_that_returns_with_another_graph_is_not_used(
    start: Start,
    triton: Triton,
    changes: dict[str, Any],
    rectangle_dicom: bytes,
    back: LogWaiter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other, logger = LogWaiter("`findings.logits` differs by 3"), logging.getLogger("g2d.triton")
    logger.addHandler(other)
    place = triton.repository / "tiny-findings" / "1" / "model.onnx"
    sound = place.read_bytes()
    async with start(**changes) as (_, client):
        triton.kill()
        assert (await ask(client, "/classify", rectangle_dicom)).status_code == 503
        place.write_bytes(tiny_version.less_sure(sound))
        await asyncio.to_thread(triton.start)
        await other.wait()
        logger.removeHandler(other)
        assert (await ask(client, "/classify", rectangle_dicom)).status_code == 503
        place.write_bytes(sound)
        await back.wait()
        assert (await ask(client, "/segment", rectangle_dicom)).status_code == 200


async def test_a_service_without_its_triton_is_live_but_not_ready(
    start: Start, changes: dict[str, Any], rectangle_dicom: bytes
) -> None:
    changes["triton_url"] = "127.0.0.1:1"
    async with start(**changes) as (_, client):
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/ready")).status_code == 503
        answer = await ask(client, "/segment", rectangle_dicom)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_triton_that_manages_its_own_models_is_used_and_left_as_it_is(
    start: Start,
    changes: dict[str, Any],
    by_itself: Triton,
    rectangle_dicom: bytes,
    protocol: str,
) -> None:
    changes |= {
        "triton_protocol": protocol,
        "triton_url": by_itself.url(protocol),
        "triton_unload": True,
        "triton_shared_memory": False,
    }
    for _ in range(2):
        async with start(**changes) as (_, client):
            answer = await ask(client, "/analyze?phrase=bright", rectangle_dicom)
            assert answer.status_code == 200


@pytest.fixture(scope="module")
def by_itself(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    server = Triton(tmp_path_factory.mktemp("by-itself"), control="none")
    repository_view.render(Repository(tiny_models), server.repository)
    server.start()
    yield server
    server.kill()
