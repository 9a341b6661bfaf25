"""The uses of an imported checkpoint depend on the parts that its file held."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from g2d.cli import app
from radiograph.errors import TaskNotOffered
from radiograph.preprocess import PreprocessSpec
from tests.builders.distributed import released_files
from tests.builders.training.runs import tiny_runs
from training.checkpoint_conversion.from_released import import_checkpoint
from training.checkpoint_conversion.layout import Layout
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.engine.checkpoint import read_checkpoint
from training.evaluation.trained_model import load_run, never_aligned
from training.finetune.finetune import finetune
from training.finetune.past_runs import PastRun
from training.publish.provenance import LICENCE, imported_weights, licence_of


def _import(text: Path, layout: Layout, folder: Path) -> Path:
    config = released_files.config_for(text, tiny_runs.write_kermany(folder / "data").root)
    state = released_files.weights(config, layout)
    file = released_files.save(state, folder / f"{layout}.pth")
    return import_checkpoint(file, config, folder / "imported").checkpoint


def _finetuning(checkpoint: Path, *, freeze_trunk: bool = True) -> FinetuneConfig:
    return FinetuneConfig(
        kind="finetune",
        epochs=1,
        batch_size=4,
        preprocess=PreprocessSpec(size_px=tiny_runs.SIZE_PX),
        data=tiny_runs.write_kermany(checkpoint.parents[1] / "data"),
        pretrained=checkpoint,
        freeze_trunk=freeze_trunk,
        findings=("Pneumonia",),
        regions=False,
    )


def test_an_encoder_alone_is_refused_for_zero_shot(text_encoder: Path, tmp_path: Path) -> None:
    checkpoint = _import(text_encoder, "encoder", tmp_path)
    message = "encoder.pth held no proj_v, attnpool, proj_t, lm_model"
    with pytest.raises(TaskNotOffered, match=message):
        load_run(checkpoint.parent)
    result = CliRunner().invoke(app, ["evaluate", str(checkpoint.parent)])
    assert result.exit_code == 4
    assert message in result.stderr.splitlines()[-1]


def test_a_full_checkpoint_answers_zero_shot_without_training(
    text_encoder: Path, tmp_path: Path
) -> None:
    model = load_run(_import(text_encoder, "full", tmp_path).parent)
    assert set(model.heads) == {"similarity"}
    assert [run.config.kind for run in model.runs] == ["pretrain"]


def test_an_imported_encoder_is_fine_tuned_and_keeps_no_zero_shot_map(
    text_encoder: Path, tmp_path: Path
) -> None:
    checkpoint = _import(text_encoder, "encoder-decoder", tmp_path)
    done = finetune(_finetuning(checkpoint), tmp_path / "run", tmp_path / "cache")
    model = load_run(done)
    assert set(model.heads) == {"findings"}
    (use,) = imported_weights(model.runs)
    assert "img_model.encoder, img_model.decoder of encoder-decoder.pth, sha256 " in use.note
    assert licence_of(model.runs) == "that of the checkpoint that was imported"


def test_a_fine_tuning_that_aligned_images_and_text_has_a_zero_shot_map(
    text_encoder: Path, tmp_path: Path
) -> None:
    checkpoint = _import(text_encoder, "encoder", tmp_path)
    imported = PretrainConfig.model_validate_json(read_checkpoint(checkpoint).config)
    frozen, aligned = (_finetuning(checkpoint, freeze_trunk=on) for on in (True, False))
    first = PastRun(imported, "unknown")
    assert never_aligned((first, PastRun(frozen, "unknown"))) is not None
    assert never_aligned((first, PastRun(frozen, ""), PastRun(aligned, ""))) is None


def test_a_run_without_an_import_is_aligned_and_under_our_licence(text_encoder: Path) -> None:
    runs = (PastRun(released_files.config_for(text_encoder), "unknown"),)
    assert never_aligned(runs) is None
    assert imported_weights(runs) == ()
    assert licence_of(runs) == LICENCE
