"""Configurations: what we ship is valid, what is wrong is refused."""

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from g2d.cli import app
from training.config.augmentation import AugmentConfig
from training.config.files import (
    CONFIGS,
    describe_error,
    find,
    load,
    load_any,
    load_tables,
)
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.refusal import RunRefused

SHIPPED = sorted(path.stem for path in CONFIGS.glob("*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_configuration_is_valid(name: str) -> None:
    kind = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())["kind"]
    if kind == "pretrain":
        assert load(name, PretrainConfig).kind == "pretrain"
    elif kind == "tables":
        assert load_tables(name).kind == "tables"
    else:
        assert load(name, FinetuneConfig).kind == "finetune"


def test_a_run_is_not_taken_for_tables() -> None:
    with pytest.raises(RunRefused, match="g2d_paper configures a pretrain run, not tables"):
        load_tables("g2d_paper")


def test_g2d_paper_has_the_values_of_the_paper() -> None:
    paper = load("g2d_paper", PretrainConfig)
    assert (paper.batch_size, paper.epochs, paper.optimiser.lr) == (128, 50, 2e-4)
    assert (paper.optimiser.weight_decay, paper.temperature) == (1e-8, 0.07)
    assert paper.optimiser.restart_every is None
    model = paper.model
    assert (model.projection_dim, model.attention_heads, model.aggregate_heads) == (128, 3, True)
    assert (model.text.frozen_layers, model.text.max_tokens) == (9, 256)
    assert (paper.decoder_loss, paper.threshold, paper.mask_loss) == (
        "pseudo_segmentation", "p85", "paper",
    )  # fmt: skip
    assert paper.body_mask
    assert paper.smooth
    assert paper.gather_negatives
    assert paper.augment.kind == "paper"
    assert (paper.preprocess.size_px, paper.preprocess.mean, paper.preprocess.std) == (224, 0, 1)


def test_the_organs_of_the_shipped_model_are_in_one_piece() -> None:
    run = load("shipped_finetune", FinetuneConfig)
    assert set(run.clean) == set(run.masks)
    assert {(c.largest, c.min_share, c.fill_holes) for c in run.clean.values()} == {(1, 0, True)}


@pytest.mark.parametrize("name", ["shipped_finetune", "shipped_refine", "shipped_checks"])
def test_no_kind_of_pneumonia_is_answered_without_pneumonia(name: str) -> None:
    run = load(name, FinetuneConfig)
    kinds = {finding for finding in run.findings if finding.endswith(" pneumonia")}
    assert run.subtype_of == dict.fromkeys(kinds, "Pneumonia")
    assert len(kinds) == 2


def test_a_run_without_cleaning_is_written_as_before() -> None:
    data = {"root": "data", "tables": ["t"]}
    run = FinetuneConfig.model_validate(
        {"kind": "finetune", "epochs": 1, "batch_size": 2, "data": data, "findings": ["Pneumonia"]}
    )
    assert run.clean == {}
    assert "clean" not in run.model_dump_json()
    assert "subtype_of" not in run.model_dump_json()


def test_no_fault_of_the_released_code_is_a_default() -> None:
    """Every switch of g2d_released that reproduces a fault is off by default."""
    data = {"root": "data", "tables": ["t"]}
    plain = PretrainConfig.model_validate(
        {"kind": "pretrain", "epochs": 1, "batch_size": 2, "data": data}
    )
    released = load("g2d_released", PretrainConfig)
    for name, sound in {
        "mask_loss": "paper", "body_mask": True, "smooth": True, "gather_negatives": True,
        "decoder_loss_from_step": 0,
    }.items():  # fmt: skip
        assert getattr(plain, name) == sound
        assert getattr(released, name) != sound
    assert (plain.model.text.padding, released.model.text.padding) == ("longest", "max_tokens")
    assert released.optimiser.restart_every == 200
    assert released.optimiser.lr == 2e-5
    assert released.model.attention_heads == 4


def test_a_configuration_without_later_keys_keeps_its_meaning() -> None:
    """The checkpoints of the shipped model have none of the later keys."""
    old = {
        "kind": "pretrain", "epochs": 1, "batch_size": 32,
        "model": {"text": {"max_tokens": 128}, "projection_dim": 128, "attention_heads": 3},
        "temperature": 0.07, "symmetric": True, "same_text_is_positive": True,
        "decoder_loss": "pseudo_segmentation", "threshold": "p85", "body_mask": True,
        "smooth": True, "data": {"root": "data", "tables": ["t"]},
        "optimiser": {"lr": 3e-4, "text_lr": None, "warmup": 0.05, "clip_norm": 5.0},
        "augment": {"rotate_deg": 10.0, "gamma": 0.35},
    }  # fmt: skip
    config = PretrainConfig.model_validate(old)
    assert config.augment == AugmentConfig(rotate_deg=10.0, gamma=0.35)
    assert config.model.mask_channels == 1
    assert PretrainConfig.model_validate_json(config.model_dump_json()) == config


def _write(folder: Path, **changes: object) -> Path:
    text = yaml.safe_load((CONFIGS / "g2d_paper.yaml").read_text()) | changes
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(text))
    return path


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunRefused, match="learning_rate"):
        load(_write(tmp_path, learning_rate=1), PretrainConfig)


def test_an_unknown_nested_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunRefused, match="momentum"):
        load(_write(tmp_path, optimiser={"momentum": 0.9}), PretrainConfig)


def test_another_kind_of_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunRefused, match="configures a pretrain run"):
        load(_write(tmp_path), FinetuneConfig)


def test_a_missing_configuration_names_the_shipped_ones() -> None:
    with pytest.raises(RunRefused, match="g2d_paper"):
        find("no_such_run")


ABLATIONS = re.findall(
    r"`g2d pretrain (\S+) (--set [^`]+) --out \S+`",
    (CONFIGS.parents[1] / "docs" / "pretraining.md").read_text(),
)


def test_the_documented_ablations_are_found() -> None:
    assert len(ABLATIONS) > 15


@pytest.mark.parametrize(("name", "options"), ABLATIONS)
def test_every_documented_ablation_is_a_valid_run_of_its_own(name: str, options: str) -> None:
    changes = options.removeprefix("--set ").split(" --set ")
    assert load(name, PretrainConfig, changes) != load(name, PretrainConfig)


@pytest.mark.parametrize("loss", ["none", "reconstruction"])
def test_shuffling_without_masks_is_refused(loss: str) -> None:
    with pytest.raises(ValueError, match="shuffle_masks needs masks"):
        load("g2d_paper", PretrainConfig, ["shuffle_masks=true", f"decoder_loss={loss}"])


def test_changes_reach_nested_keys_and_are_parsed_as_yaml() -> None:
    changes = ["model.attention_heads=4", "augment={kind: released, shear_deg: 3}", "seed=7"]
    config = load_any("g2d_paper", [*changes, "optimiser.clip_norm=null", "data.tables=[a, b]"])
    assert isinstance(config, PretrainConfig)
    assert (config.model.attention_heads, config.seed, config.optimiser.clip_norm) == (4, 7, None)
    assert config.augment.model_dump()["shear_deg"] == 3
    assert config.data.tables == ("a", "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("threshold=otsu", "threshold: Input should be 'p85', 'p75', 'median', 'mean' or 'gmm'"),
        ("decoder_loss=masks", "decoder_loss: Input should be"),
        ("mask_loss=dice", "mask_loss: Input should be"),
        ("upsampling=cubic", "upsampling: Input should be"),
        ("model.attention_heads=0", "model.attention_heads: Input should be greater"),
        ("model.projection_dim=0", "model.projection_dim: Input should be greater"),
        ("model.heads=3", "model.heads: Extra inputs"),
        ("temperature=0", "temperature: Input should be greater"),
        ("thresold=gmm", "thresold: Extra inputs"),
        ("augment={kind: flip}", "does not match any of the expected tags"),
        ("augment.flip=true", "augment.flip: Extra inputs"),
        ("augment.distortion=1.0", "augment.distortion: Input should be less"),
        ("augment={kind: crop, crop_px: 256}", "augment.crop_px: a crop is not larger"),
        ("augment={kind: crop, crop_px: 100}", "augment.crop_px: Input should be a multiple of 32"),
        ("augment={kind: shift_scale_rotate, share: 2}", "augment.share: Input should be less"),
        ("optimiser.restart_every=0", "optimiser.restart_every: Input should be greater"),
        ("optimiser.lr=fast", "optimiser.lr: Input should be a valid number"),
        ("threshold.p=85", "threshold is a value and has no keys"),
        ("threshold", "not of the form key=value"),
        ("=gmm", "not of the form key=value"),
        ("model..heads=3", "not of the form key=value"),
        ("threshold=[gmm", "is not YAML"),
    ],
)
def test_a_wrong_change_is_refused_by_its_name(change: str, message: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the message is compared below
        load("g2d_paper", PretrainConfig, [change])
    assert message in describe_error(refusal.value)


def test_a_reconstruction_for_each_head_is_refused() -> None:
    changes = ["decoder_loss=reconstruction", "model.aggregate_heads=false"]
    with pytest.raises(RunRefused, match="a reconstruction has none"):
        load("g2d_paper", PretrainConfig, changes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "threshold=otsu", "--out", "nowhere"], "Input should be 'p85'"),
        (["--set", "threshold=gmm"], "its own folder"),
    ],
)
def test_the_command_line_explains_an_error_in_one_line(options: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["pretrain", "g2d_paper", *options])
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
