"""Cells of tables: valid, with names of their own, and with the paper's recipes."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.builders.training.sets import tiny_tables
from training.config.augmentation import CropConfig, ShiftScaleRotateConfig
from training.config.experiments import Keys, TablesConfig
from training.config.files import load, load_tables
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.experiments.plan import (
    Cell,
    TableJob,
    TableRequest,
    arm_pretraining,
    cells,
    check,
    finetuning,
    merged,
    source,
    transfers_decoder,
)

_PROBE = {"steps": 1, "batch_size": 2, "lr": 1, "weight_decay": 0, "choose_every": 1}
TABLES = ("1", "2a", "2b", "3", "4", "5", "7", "8")
CHECKPOINT = Path("runs/g2d_paper/last.ckpt")


def _job(table: str, **request: Any) -> TableJob:
    config = load_tables("tables")
    return TableJob(
        config,
        load(config.pretraining, PretrainConfig),
        Path("data"),
        TableRequest(table, **request),
    )


@pytest.fixture(scope="module")
def every_cell() -> dict[Cell, TableJob]:
    """The cells of every table, detector and protocol, for two seeds."""
    found: dict[Cell, TableJob] = {}
    for table in TABLES:
        for detector in ("yolov3", "fcos", "centre"):
            job = _job(table, seeds=(0, 1), protocols=("sound", "mgca"), detector=detector)
            found |= dict.fromkeys(cells(job), job)
    return found


def test_the_tables_are_those_of_the_paper() -> None:
    assert tuple(load_tables("tables").tables) == TABLES


def test_every_cell_has_a_name_of_its_own(every_cell: dict[Cell, TableJob]) -> None:
    assert len({cell.name for cell in every_cell}) == len(every_cell) > 300


def test_every_cell_that_trains_has_a_valid_configuration_of_its_own(
    every_cell: dict[Cell, TableJob],
) -> None:
    found: dict[str, Cell] = {}
    for cell, job in every_cell.items():
        if job.config.tasks[cell.task].trains:
            config = finetuning(job, cell, Path(source(cell) or "none"))
            assert (config.pretrained is None) == (cell.start in ("random", "imagenet"))
            assert config.fraction == cell.fraction
            assert config.data.protocol == cell.protocol
            found[config.model_dump_json()] = cell
    assert len(found) == sum(job.config.tasks[c.task].trains for c, job in every_cell.items())


def test_tables_that_ask_for_the_same_share_its_cell() -> None:
    shared = set(cells(_job("1"))) & set(cells(_job("5"))) & set(cells(_job("8")))
    assert {cell.name for cell in shared} == {
        "siim_segment-encoder_decoder-sound-0.01-s0",
        "rsna_detect-encoder-sound-yolov3-0.01-s0",
    }


def test_table_1_has_the_cells_of_the_paper() -> None:
    found = [(c.task, c.start, c.fraction) for c in cells(_job("1"))]
    starts = {task: [s for t, s, f in found if t == task and f == 0.1] for task, _, _ in found}
    three = ["random", "imagenet", "encoder"]
    assert starts == {
        "siim_segment": [*three, "encoder_decoder"],
        "rsna_segment": [*three, "encoder_decoder"],
        "rsna_detect": three,
        "object_cxr_detect": three,
    }
    assert len(found) == 3 * 14


def _config(table: str, task: str, fraction: float, **request: Any) -> FinetuneConfig:
    job = _job(table, **request)
    row = next(c for c in cells(job) if (c.task, c.fraction) == (task, fraction))
    return finetuning(job, replace(row, start="encoder"), CHECKPOINT)


@pytest.mark.parametrize(
    ("table", "task", "fraction", "lr", "decay", "batch", "size", "frozen"),
    [
        ("4", "chexpert_linear", 0.01, 5e-4, 1e-6, 48, 224, "freeze_trunk"),
        ("3", "cxr14_finetuned", 0.1, 1e-4, 1e-6, 64, 256, ""),
        ("1", "siim_segment", 1.0, 2e-4, 0.05, 8, 224, "freeze_encoder"),
        ("1", "rsna_segment", 1.0, 2e-4, 0.05, 16, 224, "freeze_encoder"),
        ("7", "siim_segment_all", 1.0, 2e-4, 0.05, 8, 224, ""),
        ("1", "rsna_detect", 0.01, 2e-4, 1e-6, 16, 224, "freeze_trunk"),
        ("1", "rsna_detect", 0.1, 5e-4, 1e-6, 16, 224, "freeze_trunk"),
    ],
)
def test_the_recipes_are_the_paper_s(
    table: str,
    task: str,
    fraction: float,
    lr: float,
    decay: float,
    batch: int,
    size: int,
    frozen: str,
) -> None:
    config = _config(table, task, fraction)
    assert (config.optimiser.lr, config.optimiser.weight_decay) == (lr, decay)
    assert (config.batch_size, config.preprocess.size_px, config.epochs) == (batch, size, 50)
    said = [name for name in ("freeze_trunk", "freeze_encoder") if getattr(config, name)]
    assert said == ([frozen] if frozen else [])
    assert not config.regions
    assert not config.keep_alignment


def test_the_published_protocol_has_the_loss_and_the_augmentation_of_its_code() -> None:
    for task, fraction in (("siim_segment", 0.1), ("rsna_segment", 1.0)):
        mgca = _config("1", task, fraction, protocols=("mgca",))
        assert mgca.mask_loss == "mgca"
        assert mgca.augment == ShiftScaleRotateConfig(
            kind="shift_scale_rotate", rotate_deg=10, scale=0.1, translate=0, share=0.5
        )
    linear = _config("4", "covidx_linear", 0.1, protocols=("mgca",))
    assert linear.preprocess.size_px == 256
    assert linear.augment == CropConfig(kind="crop", crop_px=224)
    for task, table in (("siim_segment", "1"), ("covidx_linear", "4")):
        sound = _config(table, task, 0.1)
        assert (sound.mask_loss, sound.augment.kind) == ("dice_bce", "none")
        assert sound.preprocess.size_px == 224


def test_the_decoder_is_transferred_where_one_was_trained() -> None:
    job = _job("5")
    fresh = {
        cell.start: finetuning(job, cell, CHECKPOINT).fresh_decoder
        for cell in cells(job)
        if cell.task == "siim_segment"
    }
    assert fresh.pop("no_decoder") is True
    assert set(fresh.values()) == {False}
    assert _config("1", "siim_segment", 0.1).fresh_decoder


def test_initialisations_differ_from_g2d_in_the_start_alone() -> None:
    job = _job("1")
    chosen = {c.start: c for c in cells(job) if (c.task, c.fraction) == ("rsna_detect", 0.1)}
    random, imagenet, ours = (
        finetuning(job, chosen[start], CHECKPOINT) for start in ("random", "imagenet", "encoder")
    )
    assert random.model
    assert imagenet.model
    assert (random.model.encoder.weights, imagenet.model.encoder.weights) == (None, "imagenet")
    start = {"model", "pretrained"}
    assert random.model_dump(exclude=start) == ours.model_dump(exclude=start)
    assert imagenet.model_dump(exclude=start) == ours.model_dump(exclude=start)


def test_arms_are_the_pre_training_changed() -> None:
    job = _job("5")
    paper = job.pretraining.model_dump()
    for arm in job.config.arms:
        assert arm_pretraining(job, arm).model_dump() != paper
    assert arm_pretraining(job, "h4_apart").model.attention_heads == 4
    assert not arm_pretraining(job, "h4_apart").model.aggregate_heads


def test_devices_share_a_step_of_the_same_rows() -> None:
    job = replace(_job("3"), processes=4, devices=4)
    config = finetuning(job, cells(job)[0], None)
    assert (config.batch_size, config.engine.devices) == (16, 4)
    with pytest.raises(ValueError, match="3 processes cannot share a step of 64 rows"):
        finetuning(replace(job, processes=3), cells(job)[0], None)


def test_only_and_fractions_narrow_a_table() -> None:
    found = cells(_job("1", only=("rsna",), fractions=(0.1,)))
    assert {(c.task, c.fraction) for c in found} == {("rsna_segment", 0.1), ("rsna_detect", 0.1)}


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (_job("6"), "no table 6; there are: 1, 2a"),
        (_job("3", only=("siim",)), "table 3 has no siim; it has: cxr14"),
        (replace(_job("5"), checkpoints={"otsu": CHECKPOINT}), "no arm is called otsu"),
    ],
)
def test_what_is_not_known_is_refused_by_name(job: TableJob, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(job)


@pytest.mark.parametrize("fraction", [0.0, 1.5])
def test_a_fraction_that_is_none_is_refused(fraction: float) -> None:
    job = _job("3", fractions=(fraction,))
    with pytest.raises(ValidationError, match="fraction"):
        finetuning(job, cells(job)[0], None)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("tasks", "lungs", "recipe"), "none", "no recipe is called none"),
        (("tasks", "lungs", "recipe"), None, "needs a recipe"),
        (("tasks", "lungs", "labels"), [], "needs a recipe and labels"),
        (("tasks", "asked", "recipe"), "linear", "zero-shot has no recipe"),
        (("tables", "1", "rows", "random", "of"), "noise", "no start is called noise"),
        (("tables", "1", "columns", "auroc", "task"), "x", "no task is called x"),
        (("arms", "random"), {"set": ["seed=1"]}, "an arm cannot be called random"),
        (("recipes", "linear", "at"), {2.0: {}}, "less than or equal to 1"),
        (("recipes", "linear", "look", "by"), "luck", "Input should be 'loss'"),
        (("tables", "1", "colums"), {}, "Extra inputs"),
        (("tables", "1", "pairs"), [["random", "other"]], "no row is called other"),
        (("recipes", "linear", "run"), None, "needs either run or probe"),
        (("recipes", "linear", "probe"), _PROBE, "needs either run or probe"),
        (("recipes", "linear"), {"probe": _PROBE, "look": {"by": "loss"}}, "belong to a fine-tun"),
        (("recipes", "linear"), {"probe": _PROBE, "mgca": {"epochs": 1}}, "belong to a fine-tun"),
        (("recipes", "linear"), {"probe": _PROBE | {"repeats": 3}}, "repeats"),
        (("recipes", "linear"), {"probe": _PROBE, "run": {}}, "needs either run or probe"),
    ],
)
def test_a_wrong_recipe_file_is_refused(path: tuple[str, ...], value: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TablesConfig.model_validate(_with(tiny_tables.recipes(), path, value))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("tasks", "pneumonia", "labels"), ["Pneumonia", "Edema"], "linear probe has one label"),
        (("tasks", "pneumonia", "kind"), "detect", "a probe classifies or segments"),
        (("tasks", "pneumonia", "run"), {"epochs": 1}, "takes no run keys"),
        (("tables", "ablation", "columns", "lungs", "metric"), "iou", "the probe measures dice"),
        (("tables", "ablation", "columns", "lungs", "label"), "Left lung", "without a label"),
        (("tables", "ablation", "seeds"), [], "at least 1 item"),
    ],
)
def test_a_wrong_probe_is_refused(path: tuple[str, ...], value: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TablesConfig.model_validate(_with(tiny_tables.ablation(), path, value))


def _with(keys: Keys, path: tuple[str, ...], value: Any) -> Keys:
    part = keys
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return keys


def test_an_unknown_key_of_a_recipe_is_refused_when_its_cells_are_planned(tmp_path: Path) -> None:
    keys = tiny_tables.recipes()
    keys["recipes"]["linear"]["run"]["learning_rate"] = 1
    job = replace(
        tiny_tables.job(tmp_path, tmp_path, "4"), config=TablesConfig.model_validate(keys)
    )
    with pytest.raises(ValidationError, match="learning_rate"):
        finetuning(job, cells(job)[0], None)


def test_later_keys_come_before_earlier_ones_part_by_part() -> None:
    first, second = {"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 4}, "c": 5}
    assert merged(first, second) == {"a": {"x": 1, "y": 4}, "b": 3, "c": 5}
    assert first["a"] == {"x": 1, "y": 2}


def test_the_documented_numbers_of_cells_are_those_of_the_plan() -> None:
    page = (Path(__file__).parents[3] / "docs" / "tables.md").read_text()
    documented = dict(re.findall(r"^\| (\w+) \| .* \| (\d+) \|$", page, re.MULTILINE))
    assert documented == {table: str(len(cells(_job(table)))) for table in TABLES}


def _ablation(**request: Any) -> TableJob:
    config = load_tables("ablation")
    model = load(config.pretraining, PretrainConfig)
    return TableJob(config, model, Path("data"), TableRequest("ablation", **request))


def test_the_claim_is_tried_with_the_model_that_is_shipped_and_one_changed_loss() -> None:
    config = load_tables("claim")
    model = load(config.pretraining, PretrainConfig)
    job = TableJob(config, model, Path("data"), TableRequest("claim_phrases"))
    shipped = load("shipped_pretrain", PretrainConfig)
    assert (model.model, model.preprocess) == (shipped.model, shipped.preprocess)
    none, pseudo = (arm_pretraining(job, arm, 1).model_dump() for arm in ("none", "pseudo"))
    assert {key for key in none if none[key] != pseudo[key]} == {"decoder_loss"}


def test_the_shipped_ablation_has_every_arm_and_fraction() -> None:
    job = _ablation()
    found = cells(job)
    assert len({cell.name for cell in found}) == len(found) == 270
    assert job.pretraining.data.licences == ("open", "noncommercial")
    assert {c.fraction for c in found} == {0.01, 0.1, 1.0}
    assert {c.seed for c in found} == {0, 1, 2}
    arms = {"none", "pseudo", "otsu_body", "shuffled"}
    assert {c.start for c in found} == {"imagenet", "random", *arms}


def test_cells_of_an_encoder_follow_each_other() -> None:
    """Whoever computes them in order computes the features of each encoder once."""
    found = cells(_ablation())
    changes = [c for c, before in zip(found, [None, *found], strict=False)
               if before is None or (c.start, c.seed) != (before.start, before.seed)]  # fmt: skip
    assert len(changes) == 6 * 3
    assert [c.seed for c in changes] == [0] * 6 + [1] * 6 + [2] * 6


def test_probes_transfer_the_decoder_that_their_row_asks_for() -> None:
    job = _ablation(seeds=(0,), fractions=(1.0,), only=("covid_cxr",))
    transferred = [(c.start, c.decoder) for c in cells(job) if transfers_decoder(job, c)]
    arms = ("pseudo", "otsu_body", "shuffled")
    assert transferred == [(arm, "transferred") for arm in arms]
    assert ("pseudo", "new") in [(c.start, c.decoder) for c in cells(job)]


def test_each_arm_of_the_ablation_differs_in_one_key_alone() -> None:
    job = _ablation()
    pseudo = arm_pretraining(job, "pseudo", 4).model_dump()
    changed = {
        arm: {k for k, v in arm_pretraining(job, arm, 4).model_dump().items() if v != pseudo[k]}
        for arm in job.config.arms
    }
    assert changed == {
        "none": {"decoder_loss"},
        "pseudo": set(),
        "otsu_body": {"body_rule"},
        "shuffled": {"shuffle_masks"},
    }
    assert pseudo["seed"] == 4
    assert pseudo["decoder_loss"] == "pseudo_segmentation"


def test_a_probe_is_not_fine_tuned() -> None:
    job = _ablation()
    with pytest.raises(ValueError, match="is a probe, not a fine-tuning"):
        finetuning(job, cells(job)[0], None)


@pytest.mark.parametrize("start", ["none", "random", "encoder"])
def test_a_decoder_that_was_never_trained_cannot_be_transferred(start: str, tmp_path: Path) -> None:
    path = ("tables", "ablation", "rows", "pseudo_decoder", "of")
    keys = _with(tiny_tables.ablation(), path, start)
    job = replace(
        tiny_tables.ablation_job(tmp_path, tmp_path), config=TablesConfig.model_validate(keys)
    )
    with pytest.raises(ValueError, match=f"{start} has no trained decoder"):
        check(job)


def test_a_checkpoint_is_refused_where_each_seed_has_its_own() -> None:
    with pytest.raises(ValueError, match="each seed has a pre-training of its own"):
        check(replace(_ablation(), checkpoints={"pseudo": CHECKPOINT}))
