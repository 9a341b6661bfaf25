"""Two heads of one kind answer together: in the order of the manifest, boxes by score."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
import pytest

from radiograph.manifest import Label
from radiograph.repository.head_publishing import NewHead, publish_head
from radiograph.repository.repository import Repository
from service.backends.triton import repository_view
from tests.builders.models.versions import tiny_version
from tests.fixtures.service import Start

DICOM = {"content-type": "application/dicom"}


def publish_again(root: Path, head: str) -> None:
    """Publish one more version, with a copy of a head that is more certain and has other labels."""
    repository, name = Repository(root), f"more_{head}"
    base = repository.load_manifest("tiny", repository.resolve("tiny", "stable"))
    old, folder = base.heads[head], repository.folder("tiny", base.version)
    labels = tuple(Label(name=f"More {x.name}") for x in old.labels)
    changes = {"file": f"heads/{name}.onnx", "labels": labels, "temperature": 0.5}
    with np.load(folder / "golden.npz") as golden, TemporaryDirectory() as temporary:
        stage = Path(temporary)
        (stage / "heads").mkdir()
        (stage / f"heads/{name}.onnx").write_bytes((folder / old.file).read_bytes())
        again = {f"more_{k}": golden[k] for k in golden.files if k.startswith(f"{head}.")}
        np.savez(stage / "golden.npz", **again)
        new = NewHead(name, old.model_copy(update=changes), stage)
        publish_head(repository, "tiny", new, alias="stable")


@pytest.fixture
def models(tiny_models: Path, tmp_path: Path) -> Path:
    """A repository of the tiny model with two heads each for labels, masks and boxes."""
    root = tiny_version.copy(tiny_models, tmp_path / "models")
    for head in ("boxes", "findings", "anatomy"):
        publish_again(root, head)
    return root


async def ask(client: httpx.AsyncClient, data: bytes) -> dict[str, Any]:
    answer = await client.post("/analyze", content=data, headers=DICOM)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_an_answer_holds_the_labels_of_both_heads(
    start: Start, models: Path, rectangle_dicom: bytes
) -> None:
    async with start(models_dir=models) as (_, client):
        body = await ask(client, rectangle_dicom)
    findings = ["Lung opacity", "No finding"]
    assert [x["name"] for x in body["findings"]] == [*findings, *(f"More {x}" for x in findings)]
    masks = ["Left lung", "Right lung"]
    assert [x["name"] for x in body["masks"]] == [*masks, *(f"More {x}" for x in masks)]
    scores = [x["score"] for x in body["boxes"]]
    assert scores == sorted(scores, reverse=True)
    assert {x["name"] for x in body["boxes"]} == {"Lung opacity", "More Lung opacity"}
    assert (
        body["boxes"][0]["name"] == "More Lung opacity"
    )  # more certain, though its head comes later


def test_the_triton_view_has_an_ensemble_for_each_head(models: Path, tmp_path: Path) -> None:
    rendered = repository_view.render(Repository(models), tmp_path / "view")
    assert {"tiny-classify", "tiny-classify-more_findings"} < set(rendered)
    assert {"tiny-segment-more_anatomy", "tiny-detect-more_boxes"} < set(rendered)
