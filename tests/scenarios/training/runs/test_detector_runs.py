"""Runs with a detector of candidates: training, export, publication and serving."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httpx
import numpy as np
import onnx
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from radiograph.manifest import HeadSpec, Label
from radiograph.postprocess.heads import detect
from radiograph.preprocess import preprocess
from radiograph.readers.raster import read
from radiograph.repository.repository import Repository
from service.api.app import create_app
from service.settings import Settings
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.evaluated_runs import with_figures, write_made_up_counts
from tests.builders.training.runs.tiny_runs import SIZE_PX
from training.config.finetune import FinetuneConfig
from training.data.cache.cache import open_cache
from training.engine import seeding
from training.engine.checkpoint import read_checkpoint
from training.evaluation.assessment import Assessment, RunFolder
from training.evaluation.calibration.calibrate import calibrate
from training.evaluation.calibration.ood_statistics import statistics
from training.evaluation.predictions import predict_split
from training.evaluation.trained_model import TrainedModel, load_run
from training.export.onnx_export import ExportedRun, export
from training.export.parity import TOLERANCE, run_graph
from training.finetune.finetune import FinetuneTask, finetune
from training.finetune.initial_weights import load_pretrained
from training.heads.detectors.fcos import FcosHead
from training.heads.detectors.yolo import YoloHead
from training.publish.publish_head import Target, publish_one_head
from training.publish.publish_version import publish

MAPS = ("encoder_8", "encoder_16", "encoder_32")
DECODER = ("decoder_8", "decoder_4", "decoder_1")
ALWAYS = ("pixel_embeddings", "global_embedding", "global_features")
ENCODER, HEAD = "g2d.img_model.encoder.", "heads.boxes."


def _config(root: Path, text_encoder: Path, detector: str) -> FinetuneConfig:
    """Return a fine-tuning of two steps of a detector on a frozen encoder."""
    return FinetuneConfig(
        kind="finetune",
        epochs=1,
        batch_size=4,
        checkpoint_every=1,
        preprocess={"size_px": SIZE_PX},
        data=tiny_runs.write_kermany(root),
        model=tiny_runs.model_config(text_encoder),
        boxes=("Left lung", "Lung opacity"),
        detector=detector,
        regions=False,
        freeze_encoder=True,
        augment={"kind": "none"},
    )


@pytest.fixture(scope="module", autouse=True)
def narrow() -> Iterator[None]:
    """Narrow the necks, which have 20 million weights in the paper."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(YoloHead, "widths", (16, 32, 64))
        yield


@pytest.fixture(scope="module", params=["yolov3", "fcos"])
def run(
    request: pytest.FixtureRequest, text_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The checkpoint of a run of each detector."""
    folder = tmp_path_factory.mktemp(request.param)
    config = _config(folder / "tables", text_encoder, request.param)
    return finetune(config, folder / "run", folder / "cache")


@pytest.fixture(scope="module")
def model(run: Path) -> TrainedModel:
    """The run, with a head that finds something."""
    found = load_run(run)
    _raise_scores(found)
    return found


@pytest.fixture(scope="module")
def exported(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> ExportedRun:
    """The export of the run. Do not write to it."""
    return export(model, tmp_path_factory.mktemp("graphs") / "export")


@torch.no_grad()
def _raise_scores(model: TrainedModel) -> None:
    """Raise the biases of the last layers until about half of all candidates are boxes."""
    head = cast("YoloHead | FcosHead", model.module.heads["boxes"])
    if isinstance(head, FcosHead):
        answer: Tensor = head(*_features(model, 0).values())["logits"]
        head.head.classification_head.cls_logits.bias -= 2 * answer.median()
        return
    for last in head.answers:
        bias = last[-1].bias  # type: ignore[index] # of a Sequential
        bias.view(3, -1)[:, 4:] += 6.0


def _features(model: TrainedModel, seed: int) -> dict[str, Tensor]:
    image = np.random.default_rng(seed).normal(size=(1, 1, SIZE_PX, SIZE_PX)).astype(np.float32)
    features = model.trunk(image)
    return {name: torch.from_numpy(features[name]) for name in MAPS}


def test_a_detector_trains_and_its_encoder_stays(run: Path, text_encoder: Path) -> None:
    config = FinetuneConfig.model_validate_json(read_checkpoint(run).config)
    before = _start(config)
    after = read_checkpoint(run).weights
    assert all(torch.equal(before[k], after[k]) for k in before if k.startswith(ENCODER))
    moved = {k for k in before if k.startswith(HEAD) and not torch.equal(before[k], after[k])}
    weights = {k for k in before if k.startswith(HEAD) and k.endswith("weight")}
    assert weights <= moved


def _start(config: FinetuneConfig) -> dict[str, Tensor]:
    seeding.seed_everything(config.seed)
    return load_pretrained(config).state_dict()


def test_the_trunk_outputs_the_maps_that_the_heads_read(
    exported: ExportedRun, finetuned: Path
) -> None:
    assert exported.trunk_outputs == (*MAPS, *ALWAYS)
    graph = onnx.load(exported.folder / "trunk.onnx").graph
    assert tuple(item.name for item in graph.output) == (*MAPS, *ALWAYS)
    image = np.zeros((1, 1, SIZE_PX, SIZE_PX), np.float32)
    assert tuple(load_run(finetuned).trunk(image)) == (*DECODER, *ALWAYS)


def test_onnx_agrees_with_pytorch(exported: ExportedRun) -> None:
    assert {"boxes.boxes", "boxes.logits", "trunk.encoder_16"} <= set(exported.parity)
    assert max(exported.parity.values()) <= TOLERANCE
    with np.load(exported.folder / "golden.npz") as golden:
        assert (1 / (1 + np.exp(-golden["boxes.logits"])) > 0.3).sum() > 10


def test_the_graph_takes_any_number_of_images(model: TrainedModel, exported: ExportedRun) -> None:
    images = np.random.default_rng(0).normal(size=(3, 1, SIZE_PX, SIZE_PX)).astype(np.float32)
    features = model.trunk(images)
    found = run_graph(exported.folder / "heads" / "boxes.onnx", features)
    for name, value in model.head("boxes", features).items():
        assert found[name] == pytest.approx(value, abs=1e-3)


def test_only_maps_that_are_read_are_kept_of_a_frozen_encoder(run: Path, tmp_path: Path) -> None:
    config = FinetuneConfig.model_validate_json(read_checkpoint(run).config)
    task = FinetuneTask(config, open_cache(config.data, config.preprocess, tmp_path / "cache"))
    task.encode(task.pool)
    batch = task.batch(task.pool, range(len(task.pool)), config.augment, 0, 0)
    assert batch.encoded is not None
    sides = [level.shape[-1] for level in batch.encoded.maps]
    assert sides == [SIZE_PX // stride for stride in (8, 16, 32)]
    task.module.eval()
    kept = task.module.features(batch.images(), batch.encoded)
    live = task.module.features(batch.images())
    for name in MAPS:
        assert torch.allclose(kept[name], live[name], rtol=2e-3, atol=2e-3)  # kept as float16


def test_a_detector_without_boxes_is_refused(tmp_path: Path, text_encoder: Path) -> None:
    config = _config(tmp_path, text_encoder, "fcos")
    with pytest.raises(ValidationError, match="needs boxes"):
        FinetuneConfig.model_validate(config.model_dump() | {"boxes": ()})


def test_an_unknown_detector_is_refused(tmp_path: Path, text_encoder: Path) -> None:
    with pytest.raises(ValidationError, match="detector"):
        _config(tmp_path, text_encoder, "yolov8")


@pytest.fixture
def folder(model: TrainedModel, tmp_path: Path) -> RunFolder:
    """The folder of a run as `g2d evaluate` leaves it, with no label withheld."""
    folder = RunFolder(tmp_path / "published")
    folder.path.mkdir()
    seen = list(predict_split(model, "train", ("open",)))
    usual = statistics(seen, seen)
    np.savez_compressed(folder.statistics, mean=usual.mean, precision=usual.precision)
    heads = calibrate(model, seen)
    labels = tuple(Label(name=label.name, threshold=0.3) for label in heads["boxes"].labels)
    heads["boxes"] = heads["boxes"].model_copy(update={"labels": labels})
    done = Assessment(
        heads=heads,
        metrics=with_figures(model, ()),
        out_of_domain_threshold=9.0,
        out_of_domain_rule="made up",
        weights=model.digest,
    )
    folder.assessment.write_text(done.model_dump_json())
    write_made_up_counts(folder)
    return folder


@pytest.fixture
def models(model: TrainedModel, folder: RunFolder, exported: ExportedRun, tmp_path: Path) -> Path:
    """A repository with the run as its only version."""
    publish(model, folder, exported, tmp_path / "models", "tiny", "stable")
    return tmp_path / "models"


def test_the_head_alone_is_published_on_a_version_with_its_maps(
    model: TrainedModel, folder: RunFolder, exported: ExportedRun, models: Path
) -> None:
    target = Target(models, "tiny", "stable", "boxes", "canary")
    assert publish_one_head(model, folder, exported, "boxes", target) == 2
    heads = Repository(models).load_manifest("tiny", 2).heads
    assert heads["boxes"].inputs == MAPS
    assert heads["boxes"].form == "candidates"


async def test_the_service_returns_the_boxes_of_pytorch(
    model: TrainedModel, models: Path, tmp_path: Path
) -> None:
    spec = Repository(models).load_manifest("tiny", 1).heads["boxes"]
    assert spec.form == "candidates"
    body = tiny_runs.picture(3)
    expected = _expected(model, spec, body)
    assert expected
    settings = Settings.of(
        models_dir=models, default_model="tiny", threads=1, jobs_dir=tmp_path / "j"
    )
    app = create_app(settings.changed(jobs_min_free_bytes=0, decode_workers=1))
    async with app.router.lifespan_context(app):
        await asyncio.to_thread(app.state.components.registry.lookup.wait, 60)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://g2d") as client:
            headers = {"content-type": "image/png"}
            answers = [await client.post("/detect", content=body, headers=headers) for _ in "ab"]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        found = answer.json()["boxes"]
        assert [box["name"] for box in found] == [name for name, _, _ in expected]
        assert [box["score"] for box in found] == pytest.approx(
            [score for _, score, _ in expected], abs=1e-4
        )
        for box, (_, _, edges) in zip(found, expected, strict=True):
            assert box["box"] == pytest.approx(edges, abs=0.05)


def _expected(
    model: TrainedModel, spec: HeadSpec, body: bytes
) -> list[tuple[str, float, tuple[float, ...]]]:
    """Return name, score and box of the detections of PyTorch for a file."""
    tensor, geometry = preprocess(read(body), model.config.preprocess)
    raw = model.head("boxes", model.trunk(tensor[None]))
    found = detect(spec, {name: value[0] for name, value in raw.items()}, geometry)
    return [(one.name, one.score, one.box) for one in found]
