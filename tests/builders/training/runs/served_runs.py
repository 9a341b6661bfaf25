"""Runs that are published into a running service: trained, evaluated and exported by commands.

base            every head, on a trunk of its own
new_finding     a finding more, on the trunk of base
new_mask        a mask more, on the trunk of base
second          two findings that exclude each other, of a model without a text side
"""

import json
import queue
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import httpx
import numpy as np
from typer.testing import CliRunner

from g2d.cli import app as commands
from radiograph.geometry.geometry import Geometry
from radiograph.manifest import HeadSpec, MaskCleaning, ModelManifest
from radiograph.postprocess import heads
from radiograph.postprocess.activations import sigmoid
from radiograph.preprocess import preprocess
from radiograph.readers.read import read
from radiograph.repository.repository import Repository
from service.api.app import create_app
from service.backends.ort.backend import OrtBackend
from service.backends.ort.graph import Trunk
from service.encoders import coco_rle
from service.observability.observer import NullObserver
from service.settings import Settings
from tests.builders.service.backends.ort_graphs import graph_cache
from tests.builders.training.runs import tiny_runs
from training.config.finetune import FinetuneConfig
from training.evaluation.trained_model import Raw, TrainedModel
from training.finetune.finetune import finetune
from training.metrics.arrays import FloatArray

PNG = {"content-type": "image/png"}
DEADLINE_S = 60
TEST_ROWS = 4


def g2d(*arguments: object) -> str:
    """Run a sub-command, which must succeed, and return its output."""
    done = CliRunner().invoke(commands, [str(each) for each in arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def train_all(folder: Path, text_encoder: Path) -> dict[str, Path]:
    """Train, evaluate and export the four runs, and return their folders."""
    data = folder / "data"
    base = tiny_runs.finetune_config(data, tiny_runs.model_config(text_encoder))
    clean = {"Left lung": MaskCleaning(largest=1, fill_holes=True)}
    rows = tiny_runs.write_kermany(data, count=14, heart=True)
    base = base.model_copy(update={"data": rows, "clean": clean})
    split(data / "kermany_224.csv", train=6, valid=4)
    done = _train(base, folder / "base", folder / "cache")
    nothing = {"findings": (), "masks": (), "boxes": (), "clean": {}, "regions": False}
    onto_base = nothing | {"start_from": done, "freeze_trunk": True, "seed": 9}
    others = {
        "new_finding": onto_base | {"findings": ("Bacterial pneumonia",)},
        "new_mask": onto_base | {"masks": ("Cardiomediastinum",)},
        "second": nothing
        | {
            "findings": ("Pneumonia", "Viral pneumonia"),
            "exclusive": True,
            "keep_alignment": False,
        },
    }
    for name, changes in others.items():
        config = FinetuneConfig.model_validate(base.model_dump() | changes)
        _train(config, folder / name, folder / "cache")
    return {name: folder / name for name in ("base", *others)}


def _train(config: FinetuneConfig, folder: Path, cache: Path) -> Path:
    checkpoint = finetune(config, folder, cache)
    g2d("evaluate", folder)
    g2d("export", folder)
    return checkpoint


def split(table: Path, train: int, valid: int) -> None:
    """Split a table: the first rows for training, the next for validation, the rest to test."""
    header, *lines = table.read_text().splitlines()
    splits = ["train"] * train + ["valid"] * valid + ["test"] * (len(lines) - train - valid)
    rows = [line.replace(",train,", f",{s},") for line, s in zip(lines, splits, strict=True)]
    table.write_text("\n".join([header, *rows]) + "\n")


def set_thresholds(run: Path, head: str, chosen: Sequence[float]) -> None:
    """Set the thresholds of a head, because two steps of training leave no useful ones."""
    path = run / "assessment.json"
    assessment = json.loads(path.read_text())
    for label, threshold in zip(assessment["heads"][head]["labels"], chosen, strict=True):
        label["threshold"] = threshold
    path.write_text(json.dumps(assessment))


@dataclass(frozen=True)
class Reference:
    """Predictions of PyTorch for one file, for `radiograph.postprocess.heads`."""

    geometry: Geometry
    raw: dict[str, Raw]

    @classmethod
    def of(cls, model: TrainedModel, data: bytes) -> "Reference":
        """Read the file as the evaluation does, and run the model."""
        tensor, geometry = preprocess(read(data), model.config.preprocess)
        _, outputs = model.predict(tensor[None])
        raw = {h: {k: v[0] for k, v in out.items()} for h, out in outputs.items()}
        return cls(geometry, raw)

    def probabilities(self, head: str) -> Iterator[FloatArray]:
        """Yield the probabilities of each label; those of masks are in source pixels."""
        for logits in self.raw[head]["logits"]:
            probability = sigmoid(logits).astype(np.float32)
            yield self.geometry.map_to_source(probability) if head == "anatomy" else probability


def widest_gap(values: FloatArray, low: float, high: float) -> float:
    """Return the middle of the widest gap between two quantiles, which is far from every value."""
    ordered = np.sort(values.ravel().astype(np.float64))
    part = ordered[int(low * ordered.size) : int(high * ordered.size)]
    at = int(np.argmax(np.diff(part)))
    assert part[at + 1] - part[at] > 1e-5
    return float((part[at] + part[at + 1]) / 2)


def assert_findings(served: list[dict[str, Any]], spec: HeadSpec, raw: Raw) -> None:
    """Compare the served labels of one head with the decisions of PyTorch."""
    by_name = {item["name"]: item for item in served}
    for wanted in heads.classify(spec, raw):
        found = by_name[wanted.name]
        assert abs(found["probability"] - wanted.probability) <= 1e-4
        assert (found["threshold"], found["positive"]) == (wanted.threshold, wanted.positive)


def assert_masks(served: list[dict[str, Any]], spec: HeadSpec, raw: Raw, at: Geometry) -> None:
    """Compare the served masks of one head with those of PyTorch, pixel by pixel."""
    by_name = {item["name"]: item for item in served}
    for wanted in heads.segment(spec, raw, at, None):
        found = by_name[wanted.name]
        mask = coco_rle.decode(found["rle"]["counts"], *found["rle"]["size"])
        assert 0 < wanted.area_px < wanted.mask.size
        assert np.array_equal(mask, wanted.mask)


def assert_boxes(served: list[dict[str, Any]], spec: HeadSpec, raw: Raw, at: Geometry) -> None:
    """Compare the served boxes with those of PyTorch, best first."""
    wanted = heads.detect(spec, raw, at)
    assert wanted
    assert [item["name"] for item in served] == [each.name for each in wanted]
    for found, each in zip(served, wanted, strict=True):
        assert abs(found["score"] - each.score) <= 1e-4
        assert np.allclose(found["box"], each.box, atol=0.01)


class Moves(NullObserver):
    """Records which version answers for an alias."""

    def __init__(self) -> None:
        self.heard: queue.Queue[tuple[str, str, int]] = queue.Queue()

    def alias(self, model: str, alias: str, version: int) -> None:
        self.heard.put((model, alias, version))

    def until(self, model: str, version: int) -> None:
        """Block until a version answers for `stable`."""
        while self.heard.get(timeout=DEADLINE_S) != (model, "stable", version):
            pass


class Opened:
    """Builds real backends and keeps weak references to their trunks."""

    def __init__(self) -> None:
        self.sessions = graph_cache()
        self.trunks: WeakValueDictionary[tuple[str, int], Trunk] = WeakValueDictionary()

    def __call__(self, folder: Path, manifest: ModelManifest) -> OrtBackend:
        backend = OrtBackend(folder, manifest, self.sessions)
        self.trunks[manifest.name, manifest.version] = backend._trunk
        return backend


@dataclass(frozen=True)
class Running:
    """A service that watches a repository."""

    client: httpx.AsyncClient
    repository: Repository
    moves: Moves
    opened: Opened

    async def ask(self, path: str, data: bytes) -> dict[str, Any]:
        """Return the answer for a file; the request must succeed."""
        response = await self.client.post(path, content=data, headers=PNG)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body


@asynccontextmanager
async def running(models: Path, jobs: Path) -> AsyncIterator[Running]:
    """Run the application with its watcher, and yield a client of it."""
    settings = Settings.of(
        models_dir=models,
        jobs_dir=jobs,
        jobs_min_free_bytes=0,
        default_model="tiny",
        threads=1,
        decode_workers=1,
        watch_interval_s=0.01,
    )
    moves, opened = Moves(), Opened()
    app = create_app(settings, opened, moves)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://g2d") as client,
    ):
        yield Running(client, Repository(models), moves, opened)
