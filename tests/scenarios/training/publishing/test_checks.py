"""Checks are trained on changed pictures, beside the heads of an earlier run, and served."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from radiograph.manifest import CHECK, ModelManifest
from radiograph.repository.repository import Repository
from radiograph.terminology.checks import CHECKS, Check
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.served_runs import g2d
from tests.builders.training.runs.tiny_runs import png, record, write_table
from training.config.finetune import FinetuneConfig
from training.data.checks.pictures import Pixels
from training.engine.checkpoint import read_checkpoint
from training.evaluation.assessment import RunFolder, read_assessment, read_counts
from training.finetune.finetune import finetune
from training.refusal import RunRefused

SIDE = 96


def chest(seed: int) -> bytes:
    """Return a picture that is not its own mirror image, nor upside down, nor inverted."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    rng = np.random.default_rng(seed)
    lungs = np.exp(-(((x - 0.28) / 0.12) ** 2) - ((y - 0.4) / 0.25) ** 2)
    lungs += np.exp(-(((x - 0.75) / 0.09) ** 2) - ((y - 0.4) / 0.2) ** 2)
    image = 200 - 150 * lungs + rng.uniform(0, 20, (SIDE, SIDE))
    return png(image.clip(0, 255).astype(np.uint8))


def write_data(root: Path) -> None:
    """Write radiographs in all splits, one of them lateral, and pictures of something else."""
    splits = ["train"] * 6 + ["valid"] * 3 + ["test"] * 3
    files = {f"chests/{i}.png": chest(i) for i in range(len(splits))}
    rows = [
        record(name, split=split, labels=("pneumonia", "normal", "opacity")[n % 3])
        for n, (name, split) in enumerate(zip(files, splits, strict=True))
    ]
    rows[0]["view"] = rows[-1]["view"] = "L"
    write_table(root, "chests", rows, files, tar=False)
    others = {f"others/{i}.png": png(noise(i)) for i in range(6)}
    splits = ["train"] * 3 + ["valid"] + ["test"] * 2
    rows = [record(name, split=split) for name, split in zip(others, splits, strict=True)]
    write_table(root, "others", rows, others, tar=True)


def noise(seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)


@dataclass(frozen=True)
class Runs:
    """Folders of the earlier run and of that of the checks, and the configuration of the latter."""

    base: Path
    checks: Path
    config: FinetuneConfig


@pytest.fixture(scope="module")
def runs(text_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Both runs trained; that of the checks is also evaluated and exported."""
    folder = tmp_path_factory.mktemp("checks")
    write_data(folder / "data")
    keys = {
        "kind": "finetune",
        "epochs": 1,
        "batch_size": 4,
        "preprocess": {"version": 2, "size_px": tiny_runs.SIZE_PX, "crop": "exposed_field"},
        "data": {"root": folder / "data", "tables": ["chests"]},
        "model": tiny_runs.model_config(text_encoder),
        "findings": ["pneumonia"],
        "regions": False,
        "keep_alignment": False,
        "checkpoint_every": 50,
    }
    base = finetune(FinetuneConfig.model_validate(keys), folder / "base", folder / "cache")
    checks = {
        "start_from": base,
        "freeze_trunk": True,
        "checks": {"outliers": ["others"], "examples": 160},
        "epochs": 12,
        "batch_size": 16,
        "optimiser": {"lr": 3e-3},
        "augment": {"rotate_deg": 4, "translate": 0.02, "scale": 0.05},
    }
    config = FinetuneConfig.model_validate(keys | checks)
    finetune(config, folder / "checks", folder / "cache")
    g2d("evaluate", folder / "checks")
    g2d("export", folder / "checks")
    return Runs(folder / "base", folder / "checks", config)


def test_nothing_but_the_checks_is_trained(runs: Runs) -> None:
    before = read_checkpoint(runs.base / "last.ckpt").weights
    after = read_checkpoint(runs.checks / "last.ckpt").weights
    added = after.keys() - before.keys()
    assert before.keys() <= after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert {name.split(".")[1] for name in added} == {"checks"}


def test_the_checks_recognise_what_was_done_to_test_pictures(runs: Runs) -> None:
    metrics = read_assessment(RunFolder(runs.checks)).metrics
    found = {(m.data, m.label, m.metric): m for m in metrics if m.head == "checks"}
    for check in (Check.MIRRORED, Check.UPSIDE_DOWN, Check.TURNED_LEFT, Check.INVERTED):
        area = found["chests", check, "auroc"]
        assert area.value > 0.9, check
        assert (area.task, area.split, area.n) == (CHECK, "test", 4)  # 2 rows, twice
    assert found["chests", Check.OUT_OF_DOMAIN, "auroc"].value > 0.9
    assert found["chests", Check.LATERAL, "sensitivity"].n == 3  # two frontal and one lateral
    assert found["others", Check.OUT_OF_DOMAIN, "sensitivity"].n == 2
    assert found["chests", Check.MIRRORED, "false alarms"].n == 2


def test_the_counts_name_the_outliers_and_thresholds_their_rule(runs: Runs) -> None:
    counts = read_counts(RunFolder(runs.checks)).tables
    assert counts["others"].rows == {"train": 3, "valid": 1, "test": 2}
    assert counts["chests"].rows["train"] == 6  # the lateral view included
    assessment = read_assessment(RunFolder(runs.checks))
    assert assessment.measured["others"] == 2
    spec = assessment.heads["checks"]
    assert [label.name for label in spec.labels] == list(CHECKS)
    assert "at most 1% false alarms" in spec.threshold_rule
    assert all(0.05 <= label.threshold < 1 for label in spec.labels)


def publish(runs: Runs, models: Path) -> ModelManifest:
    g2d("publish", runs.checks, "--models-dir", models, "--model", "tiny")
    return Repository(models).load_manifest("tiny", 1)


def test_a_version_has_the_checks_beside_the_other_heads(runs: Runs, tmp_path: Path) -> None:
    manifest = publish(runs, tmp_path)
    assert list(manifest.heads) == ["findings", "checks"]
    assert manifest.heads["checks"].kind == CHECK
    assert manifest.tasks == ("classify",)
    assert {"encoder_16", "encoder_32"} <= set(manifest.trunk.outputs)
    assert any(use.name == "others" for use in manifest.provenance.data)
    card = (tmp_path / "tiny/1/MODEL_CARD.md").read_text()
    assert "- `checks` (check): lateral (" in card
    assert "A heart on\n  the right of the body looks like a mirrored picture" in card


def test_an_inverted_picture_gets_a_warning_and_a_sound_one_none(
    runs: Runs, tmp_path: Path
) -> None:
    publish(runs, tmp_path / "models")
    picture = tmp_path / "sound.png"
    picture.write_bytes(chest(40))
    sound = g2d("predict", picture, "--models-dir", tmp_path / "models", "--model", "tiny")
    assert "pixels_look" not in sound
    pixels = np.asarray(Image.open(picture))
    picture.write_bytes(png(255 - pixels))
    inverted = g2d("predict", picture, "--models-dir", tmp_path / "models", "--model", "tiny")
    assert "pixels_look_inverted" in inverted


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze_trunk": False}, "needs `start_from` and `freeze_trunk: true`"),
        ({"start_from": None}, "needs `start_from` and `freeze_trunk: true`"),
        ({"augment": {"kind": "affine", "appearance": {}}}, "nor invert"),
        ({"checks": {"outliers": ["chests"]}}, "also among data.tables: chests"),
        ({"checks": {"examples": 0}}, "greater than or equal to 1"),
        ({"fraction": 0.5}, "fraction is of no use"),
    ],
)
def test_keys_that_do_not_suit_the_checks_are_refused(
    runs: Runs, changes: dict[str, Any], message: str
) -> None:
    keys = runs.config.model_dump() | changes
    with pytest.raises(ValueError, match=message):
        FinetuneConfig.model_validate(keys)


def _without_training_rows(root: Path, config: FinetuneConfig) -> FinetuneConfig:
    table = root / "data/others.csv"
    table.write_text(table.read_text().replace(",train,", ",test,"))
    return config


def _with_another_head(root: Path, config: FinetuneConfig) -> FinetuneConfig:
    return config.model_copy(update={"findings": ("pneumonia", "opacity")})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_training_rows, "checks: no training row in others"),
        (_with_another_head, "it has no heads findings of these labels"),
    ],
)
def test_a_run_that_cannot_train_the_checks_is_refused_before_it_writes(
    runs: Runs,
    tmp_path: Path,
    change: Callable[[Path, FinetuneConfig], FinetuneConfig],
    message: str,
) -> None:
    write_data(tmp_path / "data")
    data = runs.config.data.model_copy(update={"root": tmp_path / "data"})
    config = change(tmp_path, runs.config.model_copy(update={"data": data}))
    with pytest.raises(RunRefused, match=message):
        finetune(config, tmp_path / "run", tmp_path / "cache")
    assert not (tmp_path / "run").exists()
