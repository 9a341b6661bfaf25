"""Own labels, masks and boxes: from `pairs.csv` and its description to a head that answers."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner, Result

from g2d.cli import app
from tests.builders.datasets.tiny_sets import write, write_csv
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.served_runs import (
    Reference,
    assert_boxes,
    assert_findings,
    assert_masks,
    g2d,
    running,
    set_thresholds,
    widest_gap,
)
from training.config.augmentation import NoAugmentConfig
from training.config.run import DataConfig
from training.data.batches.collate import load_batch
from training.data.cache.cache import open_cache
from training.evaluation.trained_model import load_run

DESCRIPTION = """
title: Our hospital
known_for: labelled_rows
findings:
  Tuberculosis: {labels: [tb], code: {scheme: SCT, value: "56717001", meaning: Tuberculosis}}
boxes:
  Nodule: {names: [nodule]}
"""
BOX = json.dumps([{"label": "nodule", "xyxy": [10, 12, 24, 30]}])
SPLITS = ("train",) * 6 + ("valid",) * 4 + ("test",) * 4


def _write(root: Path, **cells: str) -> None:
    lines = [
        {
            "image": f"{i}.png", "text": "", "patient": f"p{i}", "split": split,
            "labels": "normal" if i % 2 else "tb", "boxes": "" if i % 2 else BOX,
            "class_masks": json.dumps({"Heart": "heart.png"}), "licence_class": "open",
        } | cells
        for i, split in enumerate(SPLITS)
    ]  # fmt: skip
    # The second row is listed twice, and a test image is there again under another name.
    lines += [lines[1], lines[-1] | {"image": "copy.png"}]
    columns = tuple(lines[0])
    write_csv(root / "pairs.csv", columns, lines)
    for number in range(len(SPLITS)):
        write(root / f"{number}.png", tiny_runs.picture(number))
    write(root / "copy.png", tiny_runs.picture(len(SPLITS) - 1))
    write(root / "heart.png", tiny_runs.heart_png())
    (root / "pairs.yaml").write_text(DESCRIPTION)


def _configuration(folder: Path, text_encoder: Path, **changes: Any) -> Path:
    usual = tiny_runs.finetune_config(folder / "unused", tiny_runs.model_config(text_encoder))
    data = DataConfig(root=folder / "data", tables=("pairs",))
    keys = usual.model_copy(update={"data": data}).model_dump(mode="json")
    keys |= {
        "findings": ["Tuberculosis"], "masks": ["Heart"], "boxes": ["Nodule", "Heart"],
        "regions": False, "keep_alignment": False,
    }  # fmt: skip
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(keys | changes))
    return path


def _finetune(configuration: Path, folder: Path) -> Result:
    options = ["--out", str(folder / "run"), "--cache", str(folder / "cache")]
    return CliRunner().invoke(app, ["finetune", str(configuration), *options])


@pytest.fixture(scope="module")
def run(text_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the table, trained, evaluated and exported by commands."""
    folder = tmp_path_factory.mktemp("own")
    _write(folder / "data")
    done = _finetune(_configuration(folder, text_encoder), folder)
    assert done.exit_code == 0, done.output
    g2d("evaluate", folder / "run")
    g2d("export", folder / "run")
    return folder / "run"


async def test_own_labels_masks_and_boxes_are_served(run: Path, tmp_path: Path) -> None:
    picture = tiny_runs.picture(77)
    seen = Reference.of(load_run(run), picture)
    for head in ("anatomy", "boxes"):
        low, high = (0.3, 0.7) if head == "anatomy" else (0.8, 0.95)
        set_thresholds(
            run, head, [widest_gap(each, low, high) for each in seen.probabilities(head)]
        )
    g2d("publish", run, "--models-dir", tmp_path / "models", "--model", "tiny")
    async with running(tmp_path / "models", tmp_path / "jobs") as service:
        await asyncio.to_thread(service.moves.until, "tiny", 1)
        version = service.repository.load_manifest("tiny", 1)
        findings = (await service.ask("/classify", picture))["findings"]
        assert [each["name"] for each in findings] == ["Tuberculosis"]
        assert findings[0]["code"]["value"] == "56717001"
        assert_findings(findings, version.heads["findings"], seen.raw["findings"])
        masks = (await service.ask("/segment", picture))["masks"]
        assert [each["name"] for each in masks] == ["Heart"]
        assert masks[0]["code"]["value"] == "80891009"
        assert_masks(masks, version.heads["anatomy"], seen.raw["anatomy"], seen.geometry)
        boxes = (await service.ask("/detect", picture))["boxes"]
        assert {each["name"] for each in boxes} == {"Nodule", "Heart"}
        assert_boxes(boxes, version.heads["boxes"], seen.raw["boxes"], seen.geometry)


def test_the_card_counts_each_image_that_was_used_once(run: Path, tmp_path: Path) -> None:
    g2d("publish", run, "--models-dir", tmp_path / "models", "--model", "tiny", "--alias", "")
    card = (tmp_path / "models/tiny/1/MODEL_CARD.md").read_text()
    assert "| Our hospital | not stated | 6 | 4 | 4 |" in card
    assert "0 with text of the data set, 8 with synthetic sentences" in card
    assert "7 without text" in card
    metrics = json.loads((run / "assessment.json").read_text())["metrics"]
    assert {m["n"] for m in metrics if m["metric"] in ("auroc", "dice", "ap50")} == {4}
    assert {m["label"] for m in metrics} >= {"Tuberculosis", "Heart", "Nodule"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"findings": ["Tuberculose"]},
            "findings: Tuberculose; findings in the data: Tuberculosis",
        ),
        ({"masks": ["Hart"]}, "masks: Hart; masks in the data: Heart"),
        ({"boxes": ["Nodule", "Mass"]}, "boxes: Mass; boxes in the data: Heart, Nodule"),
        ({"findings": ["a", "b"], "masks": []}, "findings: a, b; findings in the data"),
        (
            {"codes": {"Hart": {"scheme": "a", "value": "b", "meaning": "c"}}},
            "no such labels: Hart",
        ),
    ],
)
def test_a_label_that_the_data_do_not_have_is_refused_at_the_start(
    changes: dict[str, Any], message: str, text_encoder: Path, tmp_path: Path
) -> None:
    _write(tmp_path / "data")
    done = _finetune(_configuration(tmp_path, text_encoder, **changes), tmp_path)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
    assert not list((tmp_path / "cache").glob("*"))


def test_a_finding_that_is_never_absent_is_refused(text_encoder: Path, tmp_path: Path) -> None:
    _write(tmp_path / "data", labels="tb", boxes=BOX)
    done = _finetune(_configuration(tmp_path, text_encoder), tmp_path)
    assert done.exit_code == 2
    assert "no training row is known to be without Tuberculosis" in done.stderr


def test_a_head_without_a_figure_is_not_evaluated(text_encoder: Path, tmp_path: Path) -> None:
    _write(tmp_path / "data")
    table = tmp_path / "data/pairs.csv"
    lines = table.read_text().splitlines()
    both = {"masks": [], "boxes": ["Nodule"]}
    assert _finetune(_configuration(tmp_path, text_encoder, **both), tmp_path).exit_code == 0
    table.write_text("\n".join(x for x in lines if ",test," not in x) + "\n")
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path / "run")])
    assert done.exit_code == 3
    assert "findings (Tuberculosis); boxes (Nodule)" in done.stderr
    assert not (tmp_path / "run/assessment.json").exists()


def test_a_hostile_description_is_refused_in_one_line(text_encoder: Path, tmp_path: Path) -> None:
    _write(tmp_path / "data")
    (tmp_path / "data/pairs.yaml").write_text("findings: {Tuberculosis: {label: tb}}")
    done = _finetune(_configuration(tmp_path, text_encoder), tmp_path)
    assert done.exit_code == 3
    assert "findings.Tuberculosis.label: Extra inputs are not permitted" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_heart_is_learned_where_it_is(run: Path) -> None:
    """The target of the run is the mask of the table, not a mask of another structure."""
    config = load_run(run).config
    cache = open_cache(config.data, config.preprocess, run.parent / "cache")
    labels = (config.findings, config.masks, config.boxes)
    batch = load_batch(cache, [0, 1], labels, NoAugmentConfig(kind="none"), 0)
    heart = np.zeros((64, 64), dtype=np.float32)
    heart[28:52, 24:44] = 1
    assert np.array_equal(batch.masks[0, 0].numpy(), heart)
    assert batch.findings.tolist() == [[1.0], [0.0]]
    assert batch.boxes_known.all()
    assert (batch.boxes[0][1] * 64).tolist() == [[24.0, 28.0, 44.0, 52.0]]
    assert set(batch.boxes[1]) == {1}  # a normal radiograph has no nodule
