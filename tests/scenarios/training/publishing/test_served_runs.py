"""Published runs appear in a running service by name, and decide as PyTorch does."""

import asyncio
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from g2d.cli import app as commands
from radiograph.manifest import ModelManifest, Task
from radiograph.repository.repository import Repository
from service.backends.triton import repository_view
from tests.builders.training.runs import served_runs, tiny_runs
from tests.builders.training.runs.served_runs import (
    Reference,
    Running,
    assert_boxes,
    assert_findings,
    assert_masks,
    g2d,
    running,
    set_thresholds,
    widest_gap,
)
from training.evaluation.trained_model import load_run

NAMES = ("base", "new_finding", "new_mask", "second")


def chest(rows: int = 48, columns: int = 32) -> bytes:
    """Return an image that is in no run and not square."""
    ramp = np.linspace(30, 200, columns)[None, :] + np.linspace(0, 50, rows)[:, None]
    noise = np.random.default_rng(3).uniform(-20, 20, ramp.shape)
    return tiny_runs.png((ramp + noise).clip(0, 255).astype(np.uint8))


PICTURE = chest()


@pytest.fixture(scope="module")
def trained(text_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The runs, with thresholds at which masks and boxes are found in `PICTURE`."""
    runs = served_runs.train_all(tmp_path_factory.mktemp("served"), text_encoder)
    for name in ("base", "new_mask"):
        seen = Reference.of(load_run(runs[name]), PICTURE)
        cuts = [widest_gap(each, 0.3, 0.7) for each in seen.probabilities("anatomy")]
        set_thresholds(runs[name], "anatomy", cuts)
        if "boxes" in seen.raw:
            cuts = [widest_gap(each, 0.8, 0.95) for each in seen.probabilities("boxes")]
            set_thresholds(runs[name], "boxes", cuts)
    return runs


@pytest.fixture
def models(trained: dict[str, Path], tmp_path: Path) -> Path:
    """A repository whose `stable` is the base, published by the command."""
    publish(trained["base"], tmp_path / "models")
    return tmp_path / "models"


def publish(run: Path, models: Path, *more: str, name: str = "tiny") -> None:
    g2d("publish", run, "--models-dir", models, "--model", name, *more)


def manifest(service: Running, version: int, name: str = "tiny") -> ModelManifest:
    return service.repository.load_manifest(name, version)


async def taken_up(service: Running, version: int, name: str = "tiny") -> None:
    await asyncio.to_thread(service.moves.until, name, version)


async def test_a_new_finding_and_a_new_mask_appear_and_the_trunk_stays_loaded(
    trained: dict[str, Path], models: Path, tmp_path: Path
) -> None:
    seen = {name: Reference.of(load_run(trained[name]), PICTURE) for name in NAMES[:3]}
    async with running(models, tmp_path / "jobs") as service:
        await taken_up(service, 1)
        before = await service.ask("/classify", PICTURE)
        assert [item["name"] for item in before["findings"]] == ["Pneumonia", "Viral pneumonia"]

        onto = ("--head", "findings", "--as", "more_findings")
        await asyncio.to_thread(publish, trained["new_finding"], models, *onto)
        await taken_up(service, 2)
        answer = await service.ask("/classify", PICTURE)
        names = ["Pneumonia", "Viral pneumonia", "Bacterial pneumonia"]
        assert [item["name"] for item in answer["findings"]] == names
        heads = manifest(service, 2).heads
        assert_findings(answer["findings"], heads["findings"], seen["base"].raw["findings"])
        assert_findings(
            answer["findings"], heads["more_findings"], seen["new_finding"].raw["findings"]
        )

        onto = ("--head", "anatomy", "--as", "heart")
        await asyncio.to_thread(publish, trained["new_mask"], models, *onto)
        await taken_up(service, 3)
        masks = (await service.ask("/segment", PICTURE))["masks"]
        assert [item["name"] for item in masks] == ["Left lung", "Right lung", "Cardiomediastinum"]
        heads = manifest(service, 3).heads
        # The run asks for a clean left lung; evaluation and service remove the same islands.
        cleaned = [label.name for label in heads["anatomy"].labels if label.clean is not None]
        assert cleaned == ["Left lung"]
        for head, run in (("anatomy", "base"), ("heart", "new_mask")):
            assert_masks(masks, heads[head], seen[run].raw["anatomy"], seen[run].geometry)
        boxes = (await service.ask("/detect", PICTURE))["boxes"]
        assert_boxes(boxes, heads["boxes"], seen["base"].raw["boxes"], seen["base"].geometry)

        trunks = service.opened.trunks
        assert trunks["tiny", 1] is trunks["tiny", 2] is trunks["tiny", 3]


async def test_a_second_model_appears_by_name_while_requests_run(
    trained: dict[str, Path], models: Path, tmp_path: Path
) -> None:
    async with running(models, tmp_path / "jobs") as service:
        await taken_up(service, 1)
        ended = asyncio.Event()

        async def ask() -> int:
            count = 0
            while not ended.is_set():
                answer = await service.ask("/classify", PICTURE)
                assert answer["model"]["name"] == "tiny"
                count += 1
            return count

        asking = [asyncio.create_task(ask()) for _ in range(2)]
        try:
            await asyncio.to_thread(publish, trained["second"], models, name="second")
            await taken_up(service, 1, "second")
            answer = await service.ask("/classify?model=second", PICTURE)
        finally:
            ended.set()
        assert all(count > 0 for count in await asyncio.gather(*asking))

        listed = (await service.client.get("/v1/models")).json()["models"]
        assert {model["name"]: model["versions"][0]["tasks"] for model in listed} == {
            "second": ["classify"],
            "tiny": ["classify", "segment", "detect", "ground"],
        }
        seen = Reference.of(load_run(trained["second"]), PICTURE)
        spec = manifest(service, 1, "second").heads["findings"]
        assert_findings(answer["findings"], spec, seen.raw["findings"])
        assert len(answer["findings"]) == 2


async def test_a_model_without_a_text_side_answers_all_tasks_but_grounding(
    trained: dict[str, Path], models: Path, tmp_path: Path
) -> None:
    publish(trained["second"], models, name="second")
    found = Repository(models).load_manifest("second", 1)
    assert found.text is None
    assert set(found.trunk.outputs) == {"pixel_embeddings", "global_embedding", "global_features"}
    assert not {"text.onnx", "tokenizer.json"} & set(found.files)
    assert "labels" in found.intended_use
    assert "phrase" not in found.intended_use
    assert "golden outputs within" in g2d("models", "verify", "second", "--models-dir", models)
    async with running(models, tmp_path / "jobs") as service:
        await taken_up(service, 1, "second")
        everything = await service.ask("/analyze?model=second", PICTURE)
        assert {"findings", "masks", "boxes", "phrases"} & set(everything) == {"findings"}
        for path, status in (
            ("/ground?model=second&phrase=lung", 404),
            ("/segment?model=second", 404),
            ("/analyze?model=second&tasks=ground&phrase=lung", 404),
            ("/analyze?model=second&phrase=lung", 422),
        ):
            response = await service.client.post(path, content=PICTURE, headers=served_runs.PNG)
            assert response.status_code == status, path
    rendered = repository_view.render(Repository(models), tmp_path / "triton", "second")
    assert rendered == [
        f"second-{part}" for part in ("analyze", "classify", "findings", "trunk", "v1")
    ]


def test_the_manifest_has_the_thresholds_and_metrics_of_the_evaluation(
    trained: dict[str, Path], models: Path
) -> None:
    onto = ("--head", "findings", "--as", "more_findings")
    publish(trained["new_finding"], models, *onto)
    found = Repository(models).load_manifest("tiny", 2)
    for name, head in found.heads_for(Task.CLASSIFY).items():
        assert "Youden's index" in head.threshold_rule
        assert 0.25 <= head.temperature <= 8
        metrics = {m.label: m for m in found.provenance.metrics if m.head == name}
        labels = {label.name for label in head.labels}
        assert labels <= set(metrics)
        assert {m.n for m in metrics.values()} == {served_runs.TEST_ROWS}
    for metric in found.provenance.metrics:
        assert metric.head in found.heads
        assert metric.split == "test"
        assert metric.low <= metric.value <= metric.high
    figures = [m for m in found.provenance.metrics if m.label == "Bacterial pneumonia"]
    assert {m.head for m in figures} == {"more_findings"}


def test_a_head_that_reads_missing_features_is_refused_by_their_names(
    trained: dict[str, Path], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    publish(trained["second"], models)
    for head, missing in (("anatomy", "decoder_1"), ("similarity", "phrase_features")):
        run = trained["base"]
        told = refused("publish", run, "--models-dir", models, "--model", "tiny", "--head", head)
        assert missing in told
        assert "tiny/1 does not give" in told
    assert Repository(models).versions("tiny") == [1]


def test_a_whole_trunk_has_every_map_for_later_heads(
    trained: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained["second"], run)
    g2d("export", run, "--whole-trunk")
    publish(run, tmp_path / "models")
    given = set(Repository(tmp_path / "models").load_manifest("tiny", 1).trunk.outputs)
    maps = {f"encoder_{stride}" for stride in (8, 16, 32)} | {"decoder_8", "decoder_4", "decoder_1"}
    assert maps < given


def test_an_export_or_evaluation_of_other_weights_is_refused(
    trained: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained["new_finding"], run)
    for other, command in (("export/export.json", "export"), ("assessment.json", "evaluate")):
        kept = (run / other).read_text()
        shutil.copy(trained["new_mask"] / other, run / other)
        told = refused("publish", run, "--models-dir", tmp_path / "models")
        assert f"g2d {command} {run}" in told
        changed = json.loads(kept)
        del changed["weights"]
        (run / other).write_text(json.dumps(changed))
        assert f"g2d {command}" in refused("publish", run, "--models-dir", tmp_path / "models")
        (run / other).write_text(kept)
    assert not (tmp_path / "models").exists()


def refused(*arguments: object) -> str:
    """Run a command, which must be refused, and return its message."""
    done = CliRunner().invoke(commands, [str(each) for each in arguments])
    assert done.exit_code == 4, done.output
    return " ".join(done.output.split())
