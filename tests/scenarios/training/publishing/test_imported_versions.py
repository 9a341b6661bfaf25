"""A published version becomes a run again: the same weights, from which training goes on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from g2d.cli import app
from radiograph.preprocess import PreprocessSpec
from radiograph.repository.repository import Repository
from tests.builders.models.faults import faulty_versions
from tests.builders.models.versions import tiny_version
from tests.builders.training.runs import evaluated_runs, served_runs, tiny_runs
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.engine.checkpoint import read_checkpoint
from training.evaluation.assessment import RunFolder
from training.evaluation.trained_model import load_run
from training.export.onnx_export import read_export
from training.export.stored_parameters import read_parameters
from training.finetune.finetune import finetune
from training.pretrain.pretrain import pretrain
from training.publish.publish_version import publish
from training.version_import.unrecorded_graphs import recovered_parameters

FRESH = {"g2d.img_model.segmentation_head.0.weight", "g2d.img_model.segmentation_head.0.bias"}
"""What no published graph reads."""


@pytest.fixture(scope="module")
def trained(text_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuning of every head on a pre-training, evaluated and exported."""
    folder = tmp_path_factory.mktemp("trained")
    data = tiny_runs.write_kermany(folder / "data")
    model = tiny_runs.model_config(text_encoder)
    first = PretrainConfig(
        kind="pretrain",
        epochs=1,
        batch_size=8,
        preprocess=PreprocessSpec(size_px=tiny_runs.SIZE_PX),
        data=data,
        model=model,
        temperature=0.1,
        same_text_is_positive=True,
    )
    pretrained = pretrain(first, folder / "first", folder / "cache")
    base = tiny_runs.finetune_config(folder / "data", model)
    changes = {"pretrained": pretrained, "model": None, "data": data}
    config = FinetuneConfig.model_validate(base.model_dump() | changes)
    finetune(config, folder / "run", folder / "cache")
    evaluated_runs.write_evaluated(load_run(folder / "run"), folder / "run")
    return folder / "run"


def _publish(run: Path, models: Path) -> None:
    folder = RunFolder(run)
    publish(load_run(run), folder, read_export(folder), models, "tiny", "stable")


@pytest.fixture(scope="module")
def models(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that holds the run as version 1."""
    root = tmp_path_factory.mktemp("published") / "models"
    _publish(trained, root)
    return root


@pytest.fixture(scope="module")
def imported(models: Path) -> Path:
    """The run that the command makes of the version."""
    out = models.parent / "imported"
    served_runs.g2d("import-version", "tiny", "stable", "--models-dir", models, "--out", out)
    return out


def test_the_weights_are_those_that_were_published(trained: Path, imported: Path) -> None:
    published = load_run(trained).module.state_dict()
    ours = read_checkpoint(imported / "last.ckpt").weights
    assert ours.keys() == published.keys()
    for name in published.keys() - FRESH:
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(ours[name], published[name], rtol=0, atol=0, msg=name)


def test_the_run_answers_as_before_in_image_and_text(trained: Path, imported: Path) -> None:
    before, after = load_run(trained), load_run(imported)
    image = np.random.default_rng(5).normal(size=(2, 1, 64, 64)).astype(np.float32)
    image = image[..., : tiny_runs.SIZE_PX, : tiny_runs.SIZE_PX]
    for name, values in before.trunk(image).items():
        np.testing.assert_array_equal(after.trunk(image)[name], values)
    phrases = ["left lung", "opacity in the right lung"]
    np.testing.assert_allclose(after.text(phrases), before.text(phrases), atol=1e-6)
    assert after.heads.keys() == before.heads.keys()


def test_it_remembers_the_runs_before_it_without_their_files(trained: Path, imported: Path) -> None:
    wanted = [(run.config, run.commit) for run in load_run(trained).runs]
    assert [(run.config, run.commit) for run in load_run(imported).runs] == wanted
    assert [run.config.kind for run in load_run(imported).runs] == ["pretrain", "finetune"]


def _further(imported: Path, trained: Path, **changes: Any) -> FinetuneConfig:
    """Return a fine-tuning on the imported run."""
    config = json.loads(read_checkpoint(trained / "last.ckpt").config)
    config |= {"pretrained": imported / "pretrained/last.ckpt", "seed": 21}
    return FinetuneConfig.model_validate(config | {"start_from": imported / "last.ckpt"} | changes)


def test_training_goes_on_and_is_published_with_its_whole_past(
    trained: Path, imported: Path, models: Path, tmp_path: Path
) -> None:
    root = tmp_path / "models"
    shutil.copytree(models, root)
    finetune(_further(imported, trained), tmp_path / "run", tmp_path / "cache")
    model = load_run(tmp_path / "run")
    moved = model.module.state_dict()["heads.findings.linear.1.bias"]
    assert not torch.equal(
        moved, load_run(imported).module.state_dict()["heads.findings.linear.1.bias"]
    )
    evaluated_runs.write_evaluated(model, tmp_path / "run")
    _publish(tmp_path / "run", root)
    provenance = Repository(root).load_manifest("tiny", 2).provenance
    names = ["1_pretrain.yaml", "2_finetune.yaml", "3_finetune.yaml"]
    assert list(provenance.configuration) == names
    first = Repository(root).load_manifest("tiny", 1).provenance
    assert provenance.configuration[names[0]] == first.configuration[names[0]]


def test_an_import_is_published_as_it_is_with_the_data_of_its_manifest(
    imported: Path, models: Path, tmp_path: Path
) -> None:
    root, run = tmp_path / "models", tmp_path / "run"
    shutil.copytree(models, root)
    shutil.copytree(imported, run)
    evaluated_runs.write_evaluated(load_run(run), run)
    (run / "rows.json").unlink(missing_ok=True)
    _publish(run, root)
    first, second = (Repository(root).load_manifest("tiny", n).provenance for n in (1, 2))
    assert second.data == first.data
    assert second.configuration == first.configuration


def test_it_teaches_masks_though_its_own_beginnings_are_gone(
    trained: Path, imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = {"run": imported / "last.ckpt", "tables": ["kermany_224"], "agreement": 0.01}
    config = _further(imported, trained, teacher=teacher, epochs=1)
    finetune(config, tmp_path / "run", tmp_path / "cache")
    assert "rows with taught masks" in capsys.readouterr().out


def _refused(models: Path, out: Path, version: str = "1") -> str:
    arguments = ["import-version", "tiny", version, "--models-dir", str(models), "--out", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code != 0
    assert not list(out.parent.glob(f"{out.name}*")), "nothing is left of a refused import"
    return done.stderr.splitlines()[-1]


def _other_golden(root: Path) -> None:
    path = root / "tiny/1/golden.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["anatomy.logits"] = arrays["anatomy.logits"] + 1
    np.savez_compressed(path, **arrays)
    _digest_anew(root, "golden.npz")


def _digest_anew(root: Path, file: str) -> None:
    digest = faulty_versions.digest_of(root / "tiny/1" / file)
    faulty_versions.edit_manifest(
        root, 1, lambda manifest: manifest["files"].update({file: digest})
    )


def _other_label(manifest: Any) -> None:
    text = manifest["provenance"]["configuration"]["2_finetune.yaml"]
    manifest["provenance"]["configuration"]["2_finetune.yaml"] = text.replace(
        "- Pneumonia\n", "", 1
    )


def _no_configuration(manifest: Any) -> None:
    manifest["provenance"]["configuration"] = {}


def _strange_configuration(manifest: Any) -> None:
    manifest["provenance"]["configuration"]["2_finetune.yaml"] = "kind: [finetune\n"


def _pretraining_alone(manifest: Any) -> None:
    del manifest["provenance"]["configuration"]["2_finetune.yaml"]


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_other_label, "weights that its configurations do not describe: heads.findings"),
        (_no_configuration, "holds no configuration of a run"),
        (_strange_configuration, "2_finetune.yaml of the manifest is not valid here"),
        (_pretraining_alone, "was published from a pre-training"),
    ],
)
def test_a_version_with_another_past_is_refused(
    models: Path, tmp_path: Path, edit: Callable[[Any], None], reason: str
) -> None:
    shutil.copytree(models, tmp_path / "models")
    faulty_versions.edit_manifest(tmp_path / "models", 1, edit)
    assert reason in _refused(tmp_path / "models", tmp_path / "out")


def test_a_version_with_other_golden_outputs_is_refused(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path / "models")
    _other_golden(tmp_path / "models")
    reason = "anatomy.logits: 1 from the golden output of the version"
    assert reason in _refused(tmp_path / "models", tmp_path / "out")


def test_an_altered_version_is_refused(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path / "models")
    faulty_versions.damage(tmp_path / "models", 1)
    assert "does not have the digest" in _refused(tmp_path / "models", tmp_path / "out")


@pytest.mark.filterwarnings("ignore:`timm-` encoders:DeprecationWarning")
def test_the_shipped_version_becomes_a_run(tmp_path: Path) -> None:
    models = Path(__file__).parents[4] / "models"
    told = served_runs.g2d(
        "import-version", "g2d-cxr", "stable", "--models-dir", models, "--out", tmp_path / "run"
    )
    assert "of the golden outputs" in told
    (fresh,) = (line for line in told.splitlines() if line.startswith("not in the version"))
    assert "segmentation_head" in fresh
    assert "lm_model" not in fresh
    assert "heads." not in fresh


def test_weights_of_graphs_without_a_record_are_recovered(models: Path) -> None:
    folder = models / "tiny/1"
    for file in ("heads/regions.onnx", "heads/boxes.onnx", "heads/similarity.onnx"):
        recorded = read_parameters(folder / file)
        recovered = recovered_parameters(folder / file)
        assert recovered.keys() == recorded.keys()
        assert all(torch.equal(recovered[name], recorded[name]) for name in recorded), file


def test_a_version_that_no_run_made_is_refused(tmp_path: Path) -> None:
    tiny_version.publish(tmp_path / "models")
    assert "configuration" in _refused(tmp_path / "models", tmp_path / "out")


def test_a_folder_that_holds_a_run_is_kept(models: Path, imported: Path) -> None:
    before = (imported / "last.ckpt").read_bytes()
    arguments = ["import-version", "tiny", "1", "--models-dir", str(models), "--out", str(imported)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code != 0
    assert "holds another run" in done.stderr
    assert (imported / "last.ckpt").read_bytes() == before
