"""A variant from its calibration to an answer of the service that names it."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from radiograph.errors import PublishRefused
from radiograph.manifest import ModelManifest, Precision, Task
from radiograph.repository.repository import Repository
from service.backends.ort.backend import OrtBackend
from service.inference.types import AnalysisRequest
from service.registry.loading.loader import VersionLoader
from service.settings import LimitSettings
from tests.builders.service.backends.ort_graphs import graph_cache
from tests.builders.training.runs import split_runs
from tests.builders.training.runs.evaluated_runs import metric_of, write_evaluated
from tests.builders.training.runs.tiny_runs import picture
from training.evaluation.assessment import RunFolder, read_assessment
from training.evaluation.trained_model import TrainedModel
from training.export.onnx_export import read_export
from training.export.variants.variants import VariantPlan, VariantWriter
from training.publish.publish_version import publish

BOTH: tuple[Precision, ...] = ("int8", "float16")
EVERY: tuple[Precision, ...] = ("float32", *BOTH)


@pytest.fixture(scope="module")
def model(evaluated_run: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return split_runs.with_validation(evaluated_run, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def exported(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with both variants; what a network of random weights loses is accepted."""
    folder = tmp_path_factory.mktemp("exported") / "run"
    run = write_evaluated(model, folder, (metric_of(0.9, 0.85),))
    writer = VariantWriter.prepare(model, run, VariantPlan(BOTH, 8, largest_loss=1.0))
    lines = list(writer.write(read_export(run)))
    assert [line.partition(":")[0] for line in lines] == ["int8 written", "float16 written"]
    return folder


@pytest.fixture
def run(exported: Path, tmp_path: Path) -> RunFolder:
    """A copy of the run that a test may change."""
    return RunFolder(shutil.copytree(exported, tmp_path / "run"))


def _published(model: TrainedModel, run: RunFolder, root: Path) -> Repository:
    assert publish(model, run, read_export(run), root, "tiny", "stable") == 1
    return Repository(root)


def _backend(folder: Path, manifest: ModelManifest) -> OrtBackend:
    return OrtBackend(folder, manifest, graph_cache())


def _asked(loader: VersionLoader) -> list[float]:
    """Load the version, and return its probabilities; it answers in the precision asked for."""
    opened = loader.load("tiny", 1)
    result = opened.analysis.run_here(AnalysisRequest((Task.CLASSIFY,)), picture(0))
    opened.close()
    assert result.model.variant == loader.variant
    return [finding.probability for finding in result.findings or ()]


def test_the_service_loads_each_variant_and_names_it(
    model: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    repository = _published(model, run, tmp_path / "models")
    manifest = repository.load_manifest("tiny", 1)
    assert set(manifest.variants) == set(BOTH)
    assert all(spec.drift and spec.same_decisions for spec in manifest.variants.values())
    loader = partial(VersionLoader, repository, _backend, LimitSettings())
    answers = {precision: _asked(loader(variant=precision)) for precision in EVERY}
    assert answers["float16"] == pytest.approx(answers["float32"], abs=0.01)
    assert answers["int8"] == pytest.approx(answers["float32"], abs=0.2)
    assert len({tuple(each) for each in answers.values()}) == 3


def test_the_card_names_variants_with_their_drift(
    model: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    repository = _published(model, run, tmp_path / "models")
    card = (repository.folder("tiny", 1) / "MODEL_CARD.md").read_text()
    assert "## Variants" in card
    rows = [line for line in card.splitlines() if line.startswith(("| int8 |", "| float16 |"))]
    assert {tuple(row.split(" | ")[:3]) for row in rows} >= {
        ("| int8", "anatomy", "dice"),
        ("| float16", "findings", "auroc"),
    }
    assert "- int8: ranges of activations by 8 images of the training split" in card


def test_golden_outputs_that_a_variant_does_not_give_refuse_the_run(
    model: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    path = run.export / "golden_int8.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["findings.logits"] += 1
    np.savez(path, **arrays)
    with pytest.raises(PublishRefused, match=r"golden output findings\.logits of int8 differs"):
        _published(model, run, tmp_path / "models")
    assert Repository(tmp_path / "models").names() == []


def test_other_thresholds_than_those_of_the_drift_refuse_the_run(
    model: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    done = read_assessment(run)
    heads = split_runs.drawing_only_what_is_seen(model, done.heads)
    run.assessment.write_text(done.model_copy(update={"heads": heads}).model_dump_json())
    with pytest.raises(PublishRefused, match="was evaluated again since its variants"):
        _published(model, run, tmp_path / "models")
