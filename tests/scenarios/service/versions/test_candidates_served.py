"""A detect head of the form `candidates` answers alone, in batches and from Triton."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from radiograph.repository.repository import Repository
from service.backends.factory import backend_factory
from service.backends.triton.repository_view import render
from service.registry.state import State
from service.settings import Settings
from tests.builders.files import sample_files
from tests.builders.models.versions import candidate_version
from tests.builders.service.registry.registries import load
from tests.fixtures.service import COLUMNS, ROWS, Start

DICOM = {"content-type": "application/dicom"}


@pytest.fixture(scope="session")
def candidate_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the version of candidates. Do not write to it."""
    root = tmp_path_factory.mktemp("candidates")
    candidate_version.publish(root)
    return root


async def boxes(client: httpx.AsyncClient, path: str, body: bytes) -> Any:
    response = await client.post(path, content=body, headers=DICOM)
    assert response.status_code == 200, response.text
    return response.json()["boxes"]


@pytest.mark.parametrize("path", ["/detect", "/analyze"])
async def test_candidates_give_the_same_boxes_as_the_cells_of_a_grid(
    start: Start,
    client: httpx.AsyncClient,
    candidate_models: Path,
    rectangle_dicom: bytes,
    path: str,
) -> None:
    grid = await boxes(client, path, rectangle_dicom)
    async with start(models_dir=candidate_models) as (_, other):
        found = await boxes(other, path, rectangle_dicom)
    assert len(found) == 4
    edges = [np.array([one["box"] for one in each]) for each in (grid, found)]
    assert edges[0] == pytest.approx(edges[1], abs=1e-3)
    assert [one["score"] for one in grid] == pytest.approx([one["score"] for one in found])


async def test_requests_of_one_batch_get_their_own_candidates(
    start: Start, candidate_models: Path, rectangle_dicom: bytes
) -> None:
    dark = sample_files.dicom_file(sample_files.bright_rectangle(ROWS, COLUMNS, (20, 40, 40, 60)))
    bodies = [rectangle_dicom, dark] * 4
    async with start(models_dir=candidate_models, max_batch=8) as (_, client):
        found = await asyncio.gather(*(boxes(client, "/detect", body) for body in bodies))
    assert [len(each) for each in found] == [4, 1] * 4


def test_a_backend_gives_every_image_its_candidates(candidate_models: Path) -> None:
    repository = Repository(candidate_models)
    manifest = repository.load_manifest("tiny", 1)
    build = backend_factory(
        Settings.of(models_dir=candidate_models, default_model="tiny", threads=1)
    )
    backend = build(repository.folder("tiny", 1), manifest)
    image = np.random.default_rng(0).normal(size=(3, 1, 64, 64)).astype(np.float32)
    raw = backend.infer(image, ["boxes"]).heads["boxes"]
    count = candidate_version.COUNT
    assert (raw["logits"].shape, raw["boxes"].shape) == ((3, 1, count), (3, count, 4))
    for number in range(3):
        alone = backend.infer(image[number : number + 1], ["boxes"]).heads["boxes"]
        assert raw["logits"][number] == pytest.approx(alone["logits"][0], abs=1e-5)


def test_a_head_whose_form_differs_from_the_manifest_is_never_ready(tmp_path: Path) -> None:
    candidate_version.publish(tmp_path, form="grid")
    (entry,) = load(tmp_path).lookup.versions()
    assert (entry.state, entry.analysis) == (State.FAILED, None)
    assert "head boxes does not give ['distances']" in str(entry.reason)


def test_the_triton_view_has_the_shapes_of_candidates(
    candidate_models: Path, tmp_path: Path
) -> None:
    render(Repository(candidate_models), tmp_path / "view")
    count = candidate_version.COUNT
    head = (tmp_path / "view/tiny-boxes/config.pbtxt").read_text()
    whole = (tmp_path / "view/tiny-detect/config.pbtxt").read_text()
    for config in (head, whole):
        assert f'output {{ name: "logits" data_type: TYPE_FP32 dims: [1, {count}] }}' in config
        assert f'output {{ name: "boxes" data_type: TYPE_FP32 dims: [{count}, 4] }}' in config
    every = (tmp_path / "view/tiny-v1/config.pbtxt").read_text()
    assert f'output {{ name: "boxes.boxes" data_type: TYPE_FP32 dims: [-1, {count}, 4] }}' in every
