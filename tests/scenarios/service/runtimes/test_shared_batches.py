"""Requests that share a batch get the answers that they would get alone."""

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from service.errors import BackendFailure
from service.observability.observer import NullObserver
from tests.builders.files import sample_files
from tests.builders.service.backends.gate import Gate, build
from tests.fixtures.service import COLUMNS, ROWS, Start

HEADERS = {"content-type": "application/dicom"}
PATHS = (
    "/classify",
    "/segment",
    "/detect",
    "/ground?phrase=bright",
    "/ground?phrase=dark&phrase=left",
    "/ground?phrase=bright&method=zero_shot",
    "/analyze?phrase=bright",
    "/analyze?tasks=segment,classify",
)
VARYING = ("request_id", "timings_ms")


def body(number: int) -> bytes:
    """Return a radiograph that differs from that of every other number, modulo 8."""
    side = 20 + 10 * (number % 8)
    box = (0, 0, side, side)
    return sample_files.dicom_file(sample_files.bright_rectangle(ROWS, COLUMNS, box))


def comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without what differs from request to request."""
    return {name: value for name, value in answer.items() if name not in VARYING}


class EventLog(NullObserver):
    """Records the events of requests and batches."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, int, str | None]] = []
        self.stages: set[str] = set()
        self.batches: list[tuple[str, int]] = []
        self.keys: set[str] = set()
        self.statistics: list[set[str]] = []
        self.labels: list[set[str]] = []

    def answered(self, route: str, status: int, seconds: float, model: str | None) -> None:
        self.answers.append((route, status, model))

    def stage(self, name: str, seconds: float) -> None:
        self.stages.add(name)

    def batch(self, model: str, size: int, seconds: float) -> None:
        self.batches.append((model, size))

    def queue(self, key: str, waiting: int) -> None:
        self.keys.add(key)

    def input_statistics(self, model: str, values: Mapping[str, float]) -> None:
        self.statistics.append(set(values))

    def scores(self, model: str, values: Mapping[str, float]) -> None:
        self.labels.append(set(values))


async def test_a_batch_answers_every_task_as_a_lone_request_does(
    start: Start, gates: list[Gate]
) -> None:
    async with start(build(gates), workers=1, max_batch=64) as (app, client):

        async def ask(number: int, path: str) -> dict[str, Any]:
            reply = await client.post(path, content=body(number), headers=HEADERS)
            assert reply.status_code == 200, reply.text
            return comparable(reply.json())

        asked = [(number, path) for number, path in enumerate(PATHS * 2)]
        alone = [await ask(*item) for item in asked]
        gates[0].shut()
        first = asyncio.create_task(ask(0, "/classify"))
        await gates[0].reached()
        together = asyncio.gather(*(ask(*item) for item in asked))
        engine = app.state.components.batcher
        async with asyncio.timeout(60):
            while engine.waiting < len(asked):  # noqa: ASYNC110 - it has no event for it
                await asyncio.sleep(0)
        gates[0].open.set()
        assert await together == alone
        assert await first == alone[0]
        assert gates[0].batches == [1, len(asked)]


async def test_a_remote_backend_is_called_once_for_requests_with_the_same_question(
    start: Start, gates: list[Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(build(gates), workers=1, max_batch=64) as (app, client):

        async def ask(number: int, path: str) -> dict[str, Any]:
            reply = await client.post(path, content=body(number), headers=HEADERS)
            return comparable(reply.json())

        asked = [(number, path) for number, path in enumerate(PATHS * 2)]
        alone = [await ask(*item) for item in asked]
        monkeypatch.setattr(gates[0], "remote", True)
        gates[0].shut()
        first = asyncio.create_task(ask(0, "/classify"))
        await gates[0].reached()
        together = asyncio.gather(*(ask(*item) for item in asked))
        async with asyncio.timeout(60):
            while app.state.components.batcher.waiting < len(asked):  # noqa: ASYNC110 - the same
                await asyncio.sleep(0)
        gates[0].open.set()
        assert await together == alone
        assert await first == alone[0]
        assert gates[0].batches == [1] + [2] * len(PATHS)


async def test_a_radiograph_on_which_the_model_fails_fails_alone(
    start: Start, gates: list[Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(build(gates), workers=1, max_batch=8) as (_, client):
        real = gates[0].trunk
        ramp = sample_files.dicom_file(np.arange(4096, dtype=np.uint16).reshape(64, 64))

        def trunk(image: Any, asked: Any) -> Any:
            if any(abs(float(one.mean())) < 0.1 for one in image):
                raise BackendFailure("a graph failed")
            return real(image, asked)

        monkeypatch.setattr(gates[0], "trunk", trunk)
        bodies = [body(1), ramp, body(2)]
        replies = await asyncio.gather(
            *(client.post("/classify", content=data, headers=HEADERS) for data in bodies)
        )
    assert [reply.status_code for reply in replies] == [200, 500, 200]


async def test_the_stages_of_a_request_are_reported_to_the_observer(start: Start) -> None:
    log = EventLog()
    async with start(observer=log) as (_, client):
        reply = await client.post("/v1/analyze?phrase=bright", content=body(1), headers=HEADERS)
        await client.post("/segment", content=b"garbage", headers=HEADERS)
    assert reply.status_code == 200
    assert log.answers == [
        ("/v1/analyze", 200, "tiny/1"),
        ("/segment", 400, "tiny/1"),
    ]
    assert log.batches == [("tiny/1", 1)]
    assert log.keys == {"analyze"}
    assert {"receive", "read", "preprocess", "queue", "trunk", "heads", "encode"} < log.stages
    assert log.statistics == [{"mean", "std", "out_of_domain"}]
    assert log.labels == [{"Lung opacity", "No finding"}]
