"""`uncertainty=tta` adds to each result how far it holds, and changes nothing else."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.api.schemas.inference import AnalyzeAnswer
from tests.builders.jobs.job_bodies import ZIP, zip_file
from tests.builders.jobs.job_clients import accepted, results
from tests.builders.training.runs.tiny_runs import png
from tests.fixtures.service import Start

PNG = {"content-type": "image/png"}
PATHS = ("/classify", "/segment", "/detect", "/ground?phrase=bright", "/analyze?phrase=dark")
LISTS = ("findings", "masks", "boxes", "phrases")


def picture(gray: int = 235) -> bytes:
    """Return a picture whose left half is bright and whose right half is dark."""
    pixels = np.full((90, 70), gray, np.uint8)
    pixels[:, 35:] = 20
    pixels[0, 0], pixels[0, 1] = 0, 255
    return png(pixels)


def even(gray: int) -> bytes:
    """Return a picture of one gray, but for a black and a white pixel."""
    pixels = np.full((64, 64), gray, np.uint8)
    pixels[0, 0], pixels[0, 1] = 0, 255
    return png(pixels)


async def ask(client: httpx.AsyncClient, path: str, data: bytes) -> dict[str, Any]:
    answer = await client.post(path, content=data, headers=PNG)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def without(body: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without what differs between two requests, and without uncertainty."""
    kept = {k: v for k, v in body.items() if k not in ("request_id", "timings_ms", *LISTS)}
    for name in LISTS:
        if name in body:
            kept[name] = [{k: v for k, v in x.items() if k != "uncertainty"} for x in body[name]]
    return kept


@pytest.mark.parametrize("path", PATHS)
async def test_each_result_says_how_far_it_holds(
    start: Start, tiny_models: Path, path: str
) -> None:
    more = f"{path}{'&' if '?' in path else '?'}uncertainty=tta"
    async with start(models_dir=tiny_models) as (_, client):
        plain, uncertain = await ask(client, path, picture()), await ask(client, more, picture())
    assert without(uncertain) == without(plain)
    found = [item for name in LISTS for item in uncertain.get(name, [])]
    assert found
    for item in found:
        assert set(item["uncertainty"]) == {"method", "views", "agreement", "low", "high"}
        assert item["uncertainty"]["method"] == "tta"
        assert item["uncertainty"]["views"] == 7
        assert 0 <= item["uncertainty"]["agreement"] <= 1
    assert not [item for name in LISTS for item in plain.get(name, []) if "uncertainty" in item]


async def test_a_clear_picture_agrees_and_one_at_the_threshold_does_not(
    start: Start, tiny_models: Path
) -> None:
    async with start(models_dir=tiny_models) as (_, client):
        path = "/analyze?tasks=classify&uncertainty=tta"
        grays = range(8, 256, 12)
        by_gray = [(await ask(client, path, even(gray)))["findings"][0] for gray in grays]
        close = min(by_gray, key=lambda item: abs(item["probability"] - item["threshold"]))
    for item in by_gray:
        span = item["uncertainty"]
        assert span["low"] <= item["probability"] <= span["high"]
    assert close["uncertainty"]["agreement"] < 1
    assert max(item["uncertainty"]["agreement"] for item in by_gray) == 1


async def test_the_answer_follows_its_schema(start: Start, tiny_models: Path) -> None:
    async with start(models_dir=tiny_models) as (_, client):
        body = await ask(client, "/analyze?phrase=dark&uncertainty=tta", picture())
    AnalyzeAnswer.model_validate(body)


@pytest.mark.parametrize("value", ["yes", "", "tta&uncertainty=tta", "TTA"])
async def test_another_value_is_refused(start: Start, tiny_models: Path, value: str) -> None:
    async with start(models_dir=tiny_models) as (_, client):
        path = f"/segment?uncertainty={value}"
        answer = await client.post(path, content=picture(), headers=PNG)
        assert answer.status_code == 422


async def test_a_job_answers_it_too(start: Start, tiny_models: Path) -> None:
    async with start(models_dir=tiny_models) as (_, client):
        body = zip_file({"a.png": picture()})
        address = await accepted(client, body, ZIP, "?tasks=classify&uncertainty=tta")
        (item,) = await results(client, address)
    assert [each["uncertainty"]["views"] for each in item["result"]["findings"]] == [7, 7]
