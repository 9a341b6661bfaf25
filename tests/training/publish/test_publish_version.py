"""A run becomes a version: what is in it, and what keeps it from becoming one."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from radiograph.errors import PublishRefused
from radiograph.manifest import Label, Metric, Task
from radiograph.repository.repository import Repository
from training.evaluation.assessment import Assessment, RunFolder, measure, read_assessment
from training.evaluation.calibration import calibrate
from training.evaluation.ood_statistics import statistics
from training.evaluation.predictions import predict_split
from training.evaluation.trained_model import TrainedModel, load_run
from training.export.onnx_export import ExportedRun, export, read_export, write_export
from training.finetune.finetune import finetune
from training.publish.gates import refuse_other_golden, refuse_worse, with_heads
from training.publish.publish_head import Target, publish_one_head
from training.publish.publish_version import publish


@pytest.fixture(scope="module")
def model(finetuned: Path) -> TrainedModel:
    """The run, in evaluation mode."""
    return load_run(finetuned)


def _metric(value: float, low: float, name: str = "dice") -> Metric:
    return Metric(
        data="kermany_224", split="test", task=Task.SEGMENT, head="anatomy", label="Left lung",
        metric=name, value=value, low=low, high=1.0, n=8,
    )  # fmt: skip


@pytest.fixture
def run(model: TrainedModel, tmp_path: Path) -> RunFolder:
    """A folder with what `g2d evaluate` and `g2d export` leave in it."""
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    seen = list(predict_split(model, "train", ("open",)))
    usual = statistics(seen, seen)
    np.savez_compressed(folder.statistics, mean=usual.mean, precision=usual.precision)
    done = Assessment(
        heads=calibrate(model, seen),
        metrics=(_metric(0.9, 0.85),),
        out_of_domain_threshold=usual.threshold,
        out_of_domain_rule=usual.threshold_rule,
        weights=model.digest,
    )
    folder.assessment.write_text(done.model_dump_json())
    write_export(export(model, folder.export))
    return folder


def _publish(model: TrainedModel, run: RunFolder, exported: ExportedRun, models: Path) -> int:
    return publish(model, run, exported, models, "tiny", "stable")


def test_a_version_says_where_it_comes_from(
    model: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    number = _publish(model, run, read_export(run), tmp_path / "models")
    repository = Repository(tmp_path / "models")
    repository.verify("tiny", number)
    assert repository.aliases("tiny") == {"stable": 1}
    manifest = repository.load_manifest("tiny", number)
    assert list(manifest.provenance.configuration) == ["1_finetune.yaml"]
    assert model.runs[-1].commit in manifest.provenance.configuration["1_finetune.yaml"]
    assert manifest.provenance.metrics == (_metric(0.9, 0.85),)
    card = (repository.folder("tiny", number) / "MODEL_CARD.md").read_text()
    assert "0.900 | 0.850 to 1.000" in card
    assert "1_finetune.yaml" in card


def test_a_run_that_was_not_evaluated_or_exported_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PublishRefused, match="g2d evaluate"):
        read_assessment(RunFolder(tmp_path))
    with pytest.raises(PublishRefused, match="g2d export"):
        read_export(RunFolder(tmp_path))


def test_golden_outputs_that_do_not_come_out_again_publish_nothing(
    model: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    with np.load(run.export / "golden.npz") as golden:
        arrays = {name: golden[name] for name in golden.files}
    arrays["findings.logits"] += 1
    np.savez_compressed(run.export / "golden.npz", **arrays)
    with pytest.raises(PublishRefused, match=r"findings\.logits"):
        _publish(model, run, read_export(run), tmp_path / "models")
    assert Repository(tmp_path / "models").names() == []


def test_a_worse_version_is_refused_and_a_noisy_one_is_not(
    model: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    assert _publish(model, run, read_export(run), models) == 1
    done = read_assessment(run)
    for value in (0.86, 0.84):
        worse = done.model_copy(update={"metrics": (_metric(value, 0.8),)})
        run.assessment.write_text(worse.model_dump_json())
        if value > 0.85:
            refuse_worse(worse.metrics, done.metrics)
            continue
        with pytest.raises(PublishRefused, match="worse than the version in stable"):
            _publish(model, run, read_export(run), models)
    assert Repository(models).versions("tiny") == [1]


def test_a_worse_metric_may_be_accepted_by_name_and_is_written_down(
    model: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    exported = read_export(run)
    _publish(model, run, exported, models)
    worse = read_assessment(run).model_copy(update={"metrics": (_metric(0.7, 0.6),)})
    run.assessment.write_text(worse.model_dump_json())
    with pytest.raises(PublishRefused):
        publish(model, run, exported, models, "tiny", "stable", accept=("auroc",))
    assert publish(model, run, exported, models, "tiny", "stable", accept=("dice",)) == 2
    folder = Repository(models).folder("tiny", 2)
    words = "kermany_224 Left lung dice: 0.7 is below 0.85 (anatomy)"
    assert Repository(models).load_manifest("tiny", 2).provenance.accepted == (words,)
    assert words in (folder / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize(
    "name",
    ["sensitivity", "specificity", "f1", "accuracy", "ece", "ece, equal mass", "map (mgca)"],
)
def test_what_moves_with_a_threshold_or_is_better_when_lower_never_gates(name: str) -> None:
    refuse_worse((_metric(0.1, 0.0, name),), (_metric(0.9, 0.85, name),))


@pytest.mark.parametrize("name", ["auroc", "dice", "iou", "ap50", "map", "pointing (aligned)"])
def test_what_ranks_or_overlaps_gates(name: str) -> None:
    with pytest.raises(PublishRefused, match=r"0\.1 is below 0\.85"):
        refuse_worse((_metric(0.1, 0.0, name),), (_metric(0.9, 0.85, name),))


def test_the_test_split_is_not_one_to_choose_by(model: TrainedModel) -> None:
    with pytest.raises(ValueError, match="train or valid"):
        measure(model, "test")


@pytest.fixture
def new_finding(model: TrainedModel, finetuned: Path, tmp_path: Path) -> TrainedModel:
    """A run that adds a finding on the frozen trunk of the run."""
    config = model.config.model_copy(
        update={
            "start_from": finetuned,
            "freeze_trunk": True,
            "findings": ("Effusion",),
            "masks": (),
            "boxes": (),
            "regions": False,
            "seed": 9,
        }
    )
    return load_run(finetune(config, tmp_path / "new", tmp_path / "cache"))


def _evaluated(model: TrainedModel, folder: RunFolder) -> ExportedRun:
    seen = list(predict_split(model, "train", ("open",)))
    done = Assessment(
        heads=calibrate(model, seen),
        metrics=(),
        out_of_domain_threshold=1.0,
        out_of_domain_rule="none",
        weights=model.digest,
    )
    folder.path.mkdir(exist_ok=True)
    folder.assessment.write_text(done.model_dump_json())
    write_export(export(model, folder.export))
    return read_export(folder)


def test_a_head_is_published_onto_a_version_and_its_trunk_stays(
    model: TrainedModel, run: RunFolder, new_finding: TrainedModel, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    _publish(model, run, read_export(run), models)
    folder = RunFolder(tmp_path / "new")
    target = Target(models, "tiny", "stable", "more_findings", "canary")
    number = publish_one_head(
        new_finding, folder, _evaluated(new_finding, folder), "findings", target
    )
    repository = Repository(models)
    repository.verify("tiny", number)
    before, after = (repository.load_manifest("tiny", n) for n in (1, number))
    assert repository.aliases("tiny") == {"canary": 2, "stable": 1}
    assert list(after.heads) == [*before.heads, "more_findings"]
    labels = [label.name for label in after.heads["more_findings"].labels]
    assert labels == ["Effusion"]
    assert after.files["trunk.onnx"] == before.files["trunk.onnx"]
    refuse_other_golden(repository.folder("tiny", number))
    assert "more_findings_2_finetune.yaml" in after.provenance.configuration


def test_a_trunk_that_was_written_as_another_graph_is_still_that_of_the_version(
    model: TrainedModel, run: RunFolder, new_finding: TrainedModel, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    _publish(model, run, read_export(run), models)
    folder = RunFolder(tmp_path / "new")
    exported = _evaluated(new_finding, folder)
    graph = onnx.load(exported.folder / "trunk.onnx")
    graph.producer_version = "another"
    onnx.save(graph, exported.folder / "trunk.onnx")
    target = Target(models, "tiny", "stable", "more_findings", "")
    number = publish_one_head(new_finding, folder, exported, "findings", target)
    repository = Repository(models)
    before, after = (repository.load_manifest("tiny", n) for n in (1, number))
    assert after.files["trunk.onnx"] == before.files["trunk.onnx"]


def test_a_head_that_is_replaced_takes_its_figures_with_it(
    model: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    exported = read_export(run)
    _publish(model, run, exported, models)
    better = _metric(0.95, 0.9).model_copy(update={"label": "Right lung"})
    done = read_assessment(run).model_copy(update={"metrics": (better,)})
    run.assessment.write_text(done.model_dump_json())
    target = Target(models, "tiny", "stable", "anatomy", "stable")
    assert publish_one_head(model, run, exported, "anatomy", target) == 2
    provenance = Repository(models).load_manifest("tiny", 2).provenance
    assert provenance.metrics == (better,)


def test_a_head_of_another_trunk_is_refused(
    model: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    _publish(model, run, read_export(run), models)
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


def test_a_head_takes_neither_a_label_nor_a_name_of_another(
    model: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    models, exported = tmp_path / "models", read_export(run)
    _publish(model, run, exported, models)
    for name, reason in (
        ("others", "Pneumonia is a label of findings and of others"),
        ("anatomy", "anatomy of tiny/1 is a head of kind segment, not classify"),
        ("classify", "a head's name is not classify"),
        ("../findings", "lower-case letters"),
    ):
        target = Target(models, "tiny", "stable", name, "")
        with pytest.raises(PublishRefused, match=reason):
            publish_one_head(model, run, exported, "findings", target)
    assert Repository(models).versions("tiny") == [1]


def test_a_run_that_was_trained_on_is_not_published_with_what_it_was_before(
    model: TrainedModel, run: RunFolder, finetuned: Path, tmp_path: Path
) -> None:
    on = model.config.model_copy(update={"start_from": finetuned, "seed": 1})
    now = load_run(finetune(on, tmp_path / "on", tmp_path / "cache"))
    exported = read_export(run)
    with pytest.raises(PublishRefused, match="g2d evaluate"):
        _publish(now, run, exported, tmp_path / "models")
    known = read_assessment(run).model_copy(update={"weights": now.digest})
    run.assessment.write_text(known.model_dump_json())
    target = Target(tmp_path / "models", "tiny", "stable", "findings", "")
    for refused in (
        lambda: _publish(now, run, exported, tmp_path / "models"),
        lambda: publish_one_head(now, run, exported, "findings", target),
    ):
        with pytest.raises(PublishRefused, match="g2d export"):
            refused()  # type: ignore[no-untyped-call]
    assert not (tmp_path / "models").exists()


def test_figures_of_two_heads_of_a_kind_are_not_held_against_each_other() -> None:
    other = _metric(0.5, 0.4).model_copy(update={"head": "heart"})
    refuse_worse((other,), (_metric(0.9, 0.85),))
    with pytest.raises(PublishRefused, match=r"0\.5 is below 0\.85 \(heart\)"):
        refuse_worse(
            (other,), (_metric(0.9, 0.85), _metric(0.9, 0.85).model_copy(update={"head": "heart"}))
        )


def test_earlier_figures_are_of_the_head_that_has_their_label(model: TrainedModel) -> None:
    specs = calibrate(model, ())
    spec = specs["anatomy"]
    lungs = spec.model_copy(update={"labels": (Label(name="Heart"),)})
    silent = _metric(0.9, 0.8).model_copy(update={"head": None})
    several = silent.model_copy(update={"label": "Both lungs"})
    ground = silent.model_copy(
        update={"task": Task.GROUND, "label": "pneumonia", "metric": "pointing (zero_shot)"}
    )
    heads = {"heart": lungs} | specs
    found = with_heads((silent, several, ground), heads)
    assert [m.head for m in found] == ["anatomy", "heart", "similarity"]
