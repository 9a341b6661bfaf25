"""Publication of one head onto a version that exists."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from radiograph.errors import PublishRefused
from radiograph.repository.repository import Repository
from tests.builders.training.runs.evaluated_runs import metric_of, write_evaluated
from training.evaluation.assessment import RunFolder, read_assessment
from training.evaluation.trained_model import TrainedModel, load_run
from training.export.onnx_export import read_export
from training.finetune.finetune import finetune
from training.publish.gates import refuse_other_golden
from training.publish.publish_head import Target, publish_one_head
from training.publish.publish_version import publish


@pytest.fixture(scope="module")
def model(finetuned: Path) -> TrainedModel:
    """A run of every head, in evaluation mode."""
    return load_run(finetuned)


@pytest.fixture
def run(model: TrainedModel, tmp_path: Path) -> RunFolder:
    """The folder of the run, evaluated and exported."""
    return write_evaluated(model, tmp_path / "run", (metric_of(0.9, 0.85),))


@pytest.fixture
def new_finding(model: TrainedModel, finetuned: Path, tmp_path: Path) -> TrainedModel:
    """A run that adds a finding on the frozen trunk of the run."""
    config = model.config.model_copy(
        update={
            "start_from": finetuned,
            "freeze_trunk": True,
            "findings": ("Bacterial pneumonia",),
            "masks": (),
            "boxes": (),
            "regions": False,
            "seed": 9,
        }
    )
    return load_run(finetune(config, tmp_path / "new", tmp_path / "cache"))


def test_a_head_is_published_onto_a_version_and_its_trunk_stays(
    model: TrainedModel, run: RunFolder, new_finding: TrainedModel, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    publish(model, run, read_export(run), models, "tiny", "stable")
    folder = write_evaluated(new_finding, tmp_path / "new")
    target = Target(models, "tiny", "stable", "more_findings", "canary")
    number = publish_one_head(new_finding, folder, read_export(folder), "findings", target)
    repository = Repository(models)
    repository.verify("tiny", number)
    before, after = (repository.load_manifest("tiny", n) for n in (1, number))
    assert repository.aliases("tiny") == {"canary": 2, "stable": 1}
    assert list(after.heads) == [*before.heads, "more_findings"]
    labels = [label.name for label in after.heads["more_findings"].labels]
    assert labels == ["Bacterial pneumonia"]
    assert after.files["trunk.onnx"] == before.files["trunk.onnx"]
    published = repository.folder("tiny", number)
    refuse_other_golden(replace(read_export(folder), folder=published))
    with np.load(published / str(after.golden.answers), allow_pickle=False) as answers:
        assert "more_findings.probabilities" in answers.files
    assert "more_findings_2_finetune.yaml" in after.provenance.configuration


def test_a_trunk_is_compared_by_its_features_and_not_by_its_file(
    model: TrainedModel, run: RunFolder, new_finding: TrainedModel, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    publish(model, run, read_export(run), models, "tiny", "stable")
    folder = write_evaluated(new_finding, tmp_path / "new")
    exported = read_export(folder)
    graph = onnx.load(exported.folder / "trunk.onnx")
    graph.producer_version = "another"
    onnx.save(graph, exported.folder / "trunk.onnx")
    target = Target(models, "tiny", "stable", "more_findings", "")
    number = publish_one_head(new_finding, folder, exported, "findings", target)
    repository = Repository(models)
    before, after = (repository.load_manifest("tiny", n) for n in (1, number))
    assert after.files["trunk.onnx"] == before.files["trunk.onnx"]


def test_a_replaced_head_takes_its_metrics_with_it(
    model: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    exported = read_export(run)
    publish(model, run, exported, models, "tiny", "stable")
    better = metric_of(0.95, 0.9).model_copy(update={"label": "Right lung"})
    done = read_assessment(run).model_copy(update={"metrics": (better,)})
    run.assessment.write_text(done.model_dump_json())
    target = Target(models, "tiny", "stable", "anatomy", "stable")
    assert publish_one_head(model, run, exported, "anatomy", target) == 2
    provenance = Repository(models).load_manifest("tiny", 2).provenance
    assert [m for m in provenance.metrics if m.head == "anatomy"] == [better]


def test_a_head_of_another_trunk_is_refused(
    model: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    publish(model, run, read_export(run), models, "tiny", "stable")
    exported = read_export(run)
    graph = onnx.load(exported.folder / "trunk.onnx")
    for tensor in graph.graph.initializer[:1]:
        values = onnx.numpy_helper.to_array(tensor)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values * 1.5, tensor.name))
    onnx.save(graph, exported.folder / "trunk.onnx")
    with pytest.raises(PublishRefused, match="is not that of tiny/1"):
        publish_one_head(
            model, run, exported, "findings", Target(models, "tiny", "stable", "findings", "")
        )
    with pytest.raises(PublishRefused, match="no head nonsense"):
        publish_one_head(
            model, run, exported, "nonsense", Target(models, "tiny", "stable", "findings", "")
        )
    assert Repository(models).versions("tiny") == [1]


def test_a_head_may_not_take_a_label_or_name_of_another(
    model: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    models, exported = tmp_path / "models", read_export(run)
    publish(model, run, exported, models, "tiny", "stable")
    for name, reason in (
        ("others", "Pneumonia is a label of findings and of others"),
        ("anatomy", "anatomy of tiny/1 is a head of kind segment, not classify"),
        ("classify", "the name classify is reserved"),
        ("../findings", "lower-case letters"),
    ):
        target = Target(models, "tiny", "stable", name, "")
        with pytest.raises(PublishRefused, match=reason):
            publish_one_head(model, run, exported, "findings", target)
    assert Repository(models).versions("tiny") == [1]
