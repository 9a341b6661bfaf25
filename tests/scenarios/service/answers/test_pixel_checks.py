"""The checks of a version become warnings of every answer, whatever task is asked for."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from radiograph.repository.head_publishing import publish_head
from radiograph.repository.repository import Repository
from service.backends.triton import repository_view
from tests.builders.models.versions import tiny_version
from tests.builders.models.versions.tiny_checks import new_head
from tests.builders.training.runs.tiny_runs import png
from tests.fixtures.service import Start

PNG = {"content-type": "image/png"}
CODES = {"pixels_look_inverted", "pixels_look_mirrored"}


@pytest.fixture
def models(tiny_models: Path, tmp_path: Path) -> Path:
    """A repository whose stable version of the tiny model has checks."""
    root = tiny_version.copy(tiny_models, tmp_path / "models")
    with new_head(root) as head:
        publish_head(Repository(root), "tiny", head, alias="stable")
    return root


def picture(mean: int) -> bytes:
    """Return a picture whose ends are black and white, and nearly all of it one gray."""
    pixels = np.full((64, 64), mean, dtype=np.uint8)
    pixels[0, :32], pixels[0, 32:] = 0, 255
    return png(pixels)


async def warnings(client: httpx.AsyncClient, path: str, data: bytes) -> dict[str, str]:
    answer = await client.post(path, content=data, headers=PNG)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return {item["code"]: item["message"] for item in body["warnings"]}


async def test_every_endpoint_warns(start: Start, models: Path) -> None:
    async with start(models_dir=models) as (_, client):
        for path in ("/classify", "/segment", "/detect", "/ground?phrase=bright", "/analyze"):
            bright = await warnings(client, path, picture(240))
            assert CODES & bright.keys() == {"pixels_look_inverted"}
            assert "probability 1.000, threshold 0.900" in bright["pixels_look_inverted"]
            assert CODES & (await warnings(client, path, picture(15))).keys() == {
                "pixels_look_mirrored"
            }
            assert not CODES & (await warnings(client, path, picture(128))).keys()


async def test_checks_are_no_task_and_no_finding(start: Start, models: Path) -> None:
    async with start(models_dir=models) as (_, client):
        listed = (await client.get("/v1/models")).json()
        (version,) = listed["models"][0]["versions"]
        assert version["tasks"] == ["classify", "segment", "detect", "ground"]
        assert (
            await client.post("/analyze?tasks=check", content=picture(240), headers=PNG)
        ).status_code == 422
        body = (await client.post("/classify", content=picture(240), headers=PNG)).json()
        assert [finding["name"] for finding in body["findings"]] == ["Lung opacity", "No finding"]


async def test_a_version_without_checks_answers_as_before(start: Start, tiny_models: Path) -> None:
    async with start(models_dir=tiny_models) as (_, client):
        assert not CODES & (await warnings(client, "/classify", picture(240))).keys()


def test_the_triton_view_has_the_graph_and_the_ensemble_of_all(
    models: Path, tmp_path: Path
) -> None:
    rendered = repository_view.render(Repository(models), tmp_path / "view")
    assert "tiny-checks" in rendered
    assert "tiny-check" not in rendered  # it is no task
