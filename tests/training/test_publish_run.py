"""A run becomes a version: what is in it, and what keeps it from becoming one."""

from pathlib import Path

import numpy as np
import pytest

from radiograph.errors import PublishRefused
from radiograph.manifest import Metric, Task
from radiograph.repository import Repository
from training.calibrate import calibrate, statistics
from training.export import Exported, export
from training.inference import TrainedModel, load_run
from training.publish import (
    Assessment,
    RunFolder,
    measure,
    publish,
    read_assessment,
    read_export,
    refuse_worse,
    write_parity,
)
from training.seen import see


@pytest.fixture(scope="module")
def model(finetuned: Path) -> TrainedModel:
    """The run, in evaluation mode."""
    return load_run(finetuned)


def _metric(value: float, low: float, name: str = "dice") -> Metric:
    return Metric(
        data="kermany_224", split="test", task=Task.SEGMENT, label="Left lung", metric=name,
        value=value, low=low, high=1.0, n=8,
    )  # fmt: skip


@pytest.fixture
def run(model: TrainedModel, tmp_path: Path) -> RunFolder:
    """A folder with what `g2d evaluate` and `g2d export` leave in it."""
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    seen = list(see(model, "train", ("open",)))
    usual = statistics(seen, seen)
    np.savez_compressed(folder.statistics, mean=usual.mean, precision=usual.precision)
    done = Assessment(
        heads=calibrate(model, seen),
        metrics=(_metric(0.9, 0.85),),
        out_of_domain_threshold=usual.threshold,
        out_of_domain_rule=usual.threshold_rule,
    )
    folder.assessment.write_text(done.model_dump_json())
    write_parity(export(model, folder.export))
    return folder


def _publish(model: TrainedModel, run: RunFolder, exported: Exported, models: Path) -> int:
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


def test_sensitivity_may_move_with_its_threshold() -> None:
    refuse_worse((_metric(0.1, 0.0, "sensitivity"),), (_metric(0.9, 0.85, "sensitivity"),))


def test_the_test_split_is_not_one_to_choose_by(model: TrainedModel) -> None:
    with pytest.raises(ValueError, match="train or valid"):
        measure(model, "test")
