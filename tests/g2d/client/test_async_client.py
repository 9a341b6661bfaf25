"""`g2d.AsyncClient`: the same answers and errors, awaited."""

import asyncio
from pathlib import Path

import httpx
import pytest

import g2d
from radiograph.errors import MalformedInput
from tests.builders.g2d.bridge import Script, problem
from tests.fixtures.service import Start


async def test_the_answers_are_those_of_a_model_in_this_process(
    start: Start, tiny_models: Path, rectangle_dicom: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "chest.dcm"
    path.write_bytes(rectangle_dicom)
    with g2d.load(tiny_models, threads=1) as model:
        here = [
            model.segment(path),
            model.ground(path, "bright"),
            model.analyze(path, ["detect"], uncertainty=True),
        ]
    async with (
        start() as (app, _),
        g2d.AsyncClient("http://g2d", transport=httpx.ASGITransport(app)) as client,
    ):
        there = [
            await client.segment(path),
            await client.ground(path, "bright"),
            await client.analyze(path, ["detect"], uncertainty=True),
        ]
        many = [result async for result in client.detect([path] * 5)]
        single = await client.detect(path)
        await client.classify(path)
    assert there == here
    assert many == [single] * 5


async def test_a_busy_service_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    script = Script(problem(429, "too-many-requests", Retry_After="3"), problem(400, "bad-input"))
    async with g2d.AsyncClient("http://g2d", transport=script) as client:
        with pytest.raises(g2d.errors.InputError):
            await client.classify(b"chest")
    assert waits == [3]


async def test_a_fault_ends_many_and_nothing_is_left_running() -> None:
    script = Script(*[problem(400, "malformed-input")] * 4)
    client = g2d.AsyncClient("http://g2d", transport=script, concurrency=2)
    before = asyncio.all_tasks()
    with pytest.raises(MalformedInput):
        _ = [result async for result in client.classify([b"a", b"b", b"c", b"d"])]
    assert asyncio.all_tasks() == before
    assert len(script.requests) <= 2
    assert repr(client) == "<g2d.AsyncClient http://g2d>"
    await client.close()
