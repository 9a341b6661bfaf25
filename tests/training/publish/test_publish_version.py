"""Publication of a run as a version, and what refuses it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from radiograph.errors import PublishRefused
from radiograph.repository.repository import Repository
from tests.builders.training.runs.evaluated_runs import metric_of, with_figures, write_evaluated
from training.data.cache.row_counts import RowCounts, write_counts
from training.evaluation.assessment import RunFolder, read_assessment, read_counts
from training.evaluation.trained_model import TrainedModel, load_run
from training.export.onnx_export import ExportedRun, read_export
from training.finetune.finetune import finetune
from training.publish.gates import refuse_worse
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


def _publish(model: TrainedModel, run: RunFolder, exported: ExportedRun, models: Path) -> int:
    return publish(model, run, exported, models, "tiny", "stable")


def test_a_version_records_its_provenance(
    model: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    number = _publish(model, run, read_export(run), tmp_path / "models")
    repository = Repository(tmp_path / "models")
    repository.verify("tiny", number)
    assert repository.aliases("tiny") == {"stable": 1}
    manifest = repository.load_manifest("tiny", number)
    assert list(manifest.provenance.configuration) == ["1_finetune.yaml"]
    assert model.runs[-1].commit in manifest.provenance.configuration["1_finetune.yaml"]
    assert manifest.provenance.metrics[0] == metric_of(0.9, 0.85)
    (used,) = manifest.provenance.data
    assert used.rows == {"train": 8}
    assert used.note.startswith("0 with text of the data set, 8 with synthetic sentences")
    card = (repository.folder("tiny", number) / "MODEL_CARD.md").read_text()
    assert "0.900 | 0.850 to 1.000" in card
    assert "1_finetune.yaml" in card


def test_data_sets_of_earlier_runs_are_named(
    model: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    """The pre-training read two sets, and counted one of them."""
    last = model.runs[-1]
    data = last.config.data.model_copy(update={"tables": ("counted", "uncounted")})
    earlier = replace(last, config=last.config.model_copy(update={"data": data}))
    started = tmp_path / "earlier" / "last.ckpt"
    config = last.config.model_copy(update={"start_from": started})
    counts = read_counts(run)
    (tiny,) = counts.tables.values()
    write_counts(started.parent, RowCounts(tables={"counted": tiny}, left_out={}))
    chain = replace(model, runs=(earlier, replace(last, config=config)))
    number = _publish(chain, run, read_export(run), tmp_path / "models")
    manifest = Repository(tmp_path / "models").load_manifest("tiny", number)
    names = {use.name: use.rows for use in manifest.provenance.data}
    assert names["counted"] == {"train": 8}
    assert names["uncounted"] == {}


def test_a_run_that_was_not_evaluated_or_exported_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PublishRefused, match="g2d evaluate"):
        read_assessment(RunFolder(tmp_path))
    with pytest.raises(PublishRefused, match="g2d export"):
        read_export(RunFolder(tmp_path))


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("assessment.json", "g2d evaluate"), ("statistics.npz", "g2d evaluate"),
        ("rows.json", "g2d finetune"), ("export/export.json", "g2d export"),
        ("export/golden.npz", "g2d export"), ("export/trunk.onnx", "g2d export"),
        ("export/heads/findings.onnx", "g2d export"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("left", [0, 0.5])
def test_a_file_of_a_run_that_is_cut_off_refuses_it_and_names_the_command(
    model: TrainedModel, run: RunFolder, file: str, command: str, left: float, tmp_path: Path
) -> None:
    whole = (run.path / file).read_bytes()
    (run.path / file).write_bytes(whole[: int(left * len(whole))])
    with pytest.raises(PublishRefused, match=f"{command}.*{run.path}"):
        _publish(model, run, read_export(run), tmp_path / "models")
    assert not Repository(tmp_path / "models").names()


@pytest.mark.parametrize("head", ["findings", "boxes", "similarity"])
def test_a_head_without_a_figure_refuses_the_run(
    model: TrainedModel, run: RunFolder, head: str, tmp_path: Path
) -> None:
    done = read_assessment(run)
    kept = tuple(metric for metric in done.metrics if metric.head != head)
    run.assessment.write_text(done.model_copy(update={"metrics": kept}).model_dump_json())
    target = Target(tmp_path / "models", "tiny", "stable", head, "")
    with pytest.raises(PublishRefused, match=f"no figure was measured for the heads: {head}"):
        _publish(model, run, read_export(run), tmp_path / "models")
    assert not Repository(tmp_path / "models").names()
    run.assessment.write_text(done.model_dump_json())
    _publish(model, run, read_export(run), tmp_path / "models")
    run.assessment.write_text(done.model_copy(update={"metrics": kept}).model_dump_json())
    with pytest.raises(PublishRefused):
        publish_one_head(model, run, read_export(run), head, target)


def test_a_run_that_did_not_count_its_rows_is_refused(
    model: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    run.rows.unlink()
    with pytest.raises(PublishRefused, match=r"has no rows\.json: `g2d finetune`"):
        _publish(model, run, read_export(run), tmp_path / "models")


def test_golden_outputs_that_are_not_reproduced_refuse_the_run(
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
        metrics = with_figures(model, (metric_of(value, 0.8),))
        worse = done.model_copy(update={"metrics": metrics})
        run.assessment.write_text(worse.model_dump_json())
        if value > 0.85:
            refuse_worse(worse.metrics, done.metrics)
            continue
        with pytest.raises(PublishRefused, match="worse than the version in stable"):
            _publish(model, run, read_export(run), models)
    assert Repository(models).versions("tiny") == [1]


def test_a_worse_metric_may_be_accepted_by_name_and_is_recorded(
    model: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    exported = read_export(run)
    _publish(model, run, exported, models)
    metrics = with_figures(model, (metric_of(0.7, 0.6),))
    worse = read_assessment(run).model_copy(update={"metrics": metrics})
    run.assessment.write_text(worse.model_dump_json())
    with pytest.raises(PublishRefused):
        publish(model, run, exported, models, "tiny", "stable", accept=("auroc",))
    assert publish(model, run, exported, models, "tiny", "stable", accept=("dice",)) == 2
    folder = Repository(models).folder("tiny", 2)
    words = "kermany_224 Left lung dice: 0.7 is below 0.85 (anatomy)"
    assert Repository(models).load_manifest("tiny", 2).provenance.accepted == (words,)
    assert words in (folder / "MODEL_CARD.md").read_text()


def test_an_evaluation_or_export_of_earlier_weights_refuses_the_run(
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
