"""Zero-shot answers: prompts against an image, and against its pixels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from g2d.cli import app
from radiograph.errors import TaskNotOffered
from tests.builders.training import tiny_runs
from tests.builders.training.tiny_runs import SIZE_PX
from training.data.rows.dataset_files import DataError
from training.data.rows.labels import NIH_FINDINGS
from training.data.text.zero_shot_prompts import WORDINGS, prompts_of
from training.evaluation.evaluators.grounding import place_of, region_figures
from training.evaluation.predictions import Prediction, predict_split
from training.evaluation.trained_model import TrainedModel, load_run
from training.evaluation.zero_shot_classification import (
    Answers,
    Classifier,
    classify,
    embed,
    prepare,
)
from training.evaluation.zero_shot_grounding import CUTS, Grounder, best_cuts, dice_curve, ground
from training.metrics import dice, points_inside
from training.metrics.arrays import FloatArray

TABLE = "kermany_224"
CHEXPERT = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")


def _write(root: Path, splits: str) -> Path:
    """One radiograph a letter of `splits` (v or t), every other one with pneumonia and a box."""
    box = [{"label": "Pneumonia", "xyxy": [10, 12, 40, 44]}]
    records = [
        tiny_runs.record(
            f"{TABLE}/{i}.png",
            split={"v": "valid", "t": "test"}[letter],
            labels="normal" if i % 2 else "pneumonia|viral",
            boxes=[] if i % 2 else box,
        )
        for i, letter in enumerate(splits)
    ]
    files = {f"{TABLE}/{i}.png": tiny_runs.picture(i) for i in range(len(splits))}
    tiny_runs.write_table(root, TABLE, records, files, tar=False)
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four radiographs to choose by and four to measure on."""
    return _write(tmp_path_factory.mktemp("zero_shot"), "vvvvtttt")


@pytest.fixture(scope="module")
def run(finetuned: Path) -> TrainedModel:
    """The run, with all its heads."""
    return load_run(finetuned)


@pytest.fixture(scope="module")
def model(run: TrainedModel, root: Path) -> TrainedModel:
    """The run over the eight radiographs."""
    return prepare(run, root, TABLE)


@pytest.fixture(scope="module")
def seen(model: TrainedModel) -> list[Prediction]:
    """Those to measure on."""
    return list(predict_split(model, "test", ("open",)))


def _unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def test_every_finding_of_the_sets_has_prompts_of_both_kinds() -> None:
    for finding in (*NIH_FINDINGS, *CHEXPERT, "Pneumothorax", "Foreign object"):
        prompts = prompts_of(finding)
        assert len(prompts.positive) == len(prompts.negative) == 15
        assert not set(prompts.positive) & set(prompts.negative)
        assert all(" no " in f" {p} " or " not " in p for p in prompts.negative)
    assert len(set(WORDINGS["Nodule"])) == 3
    with pytest.raises(DataError, match="no prompts for 'Dextrocardia'"):
        prompts_of("Dextrocardia")


def test_an_ensemble_is_the_mean_direction_of_its_prompts(model: TrainedModel) -> None:
    texts = ["pneumonia", "no pneumonia"]
    alone = np.stack([embed(model, [text]) for text in texts])
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(embed(model, texts), _unit(alone.mean(axis=0)), atol=1e-5)


def test_the_probability_is_the_softmax_of_both_cosines_at_sigma(
    model: TrainedModel, seen: list[Prediction]
) -> None:
    image = seen[0].features["global_embedding"][0]
    prompts = prompts_of("Pneumonia")
    both = np.array(
        [embed(model, each) @ _unit(image) for each in (prompts.positive, prompts.negative)]
    )
    exponentials = np.exp(both / model.module.temperature)
    expected = exponentials[0] / exponentials.sum()
    assert Classifier(model).probability("Pneumonia", image) == pytest.approx(expected, abs=1e-4)


def test_classification_gives_every_figure_and_says_how_it_chose(model: TrainedModel) -> None:
    answer = classify(model)
    assert {(m.label, m.metric, m.n) for m in answer.metrics} == {
        ("Pneumonia", name, 4) for name in ("auroc", "f1", "accuracy")
    }
    assert answer.rules == ("best F1 on the validation split, for each finding",)
    assert all(m.low <= m.value <= m.high for m in answer.metrics)


def test_a_threshold_of_the_test_split_is_never_worse_there_and_only_under_mgca(
    run: TrainedModel, root: Path
) -> None:
    answer = classify(prepare(run, root, TABLE, "mgca"))
    figures = {m.metric: m.value for m in answer.metrics}
    assert set(figures) == {"auroc", "f1", "accuracy", "f1 (mgca)", "accuracy (mgca)"}
    assert figures["f1 (mgca)"] >= figures["f1"]
    assert "on the test split itself" in answer.rules[1]


def test_findings_are_averaged_over_those_that_are_known() -> None:
    found = Answers(
        ["a", "b", "c"],
        [{"Mass": 0.9}, {"Mass": 0.2, "Nodule": 0.3}, {"Nodule": 0.1}],
        [{"Mass": True}, {"Mass": False, "Nodule": True}, {"Nodule": False}],
    )
    rows, scores, positive = found.of("Nodule")
    assert found.findings == ["Mass", "Nodule"]
    assert rows.tolist() == [1, 2]
    assert scores.tolist() == [0.3, 0.1]
    assert positive.tolist() == [True, False]


def test_without_a_validation_split_nothing_is_chosen(run: TrainedModel, tmp_path: Path) -> None:
    model = prepare(run, _write(tmp_path, "tttt"), TABLE)
    assert classify(model).rules == (
        "best F1 on the validation split, for each finding; 0.5 where that shows none: Pneumonia",
    )
    assert "Lung opacity 0.3, fixed: none to choose by" in ground(model).rules[0]


def test_an_empty_test_split_is_an_error_that_names_the_set(
    run: TrainedModel, tmp_path: Path
) -> None:
    model = prepare(run, _write(tmp_path, "vv"), TABLE)
    with pytest.raises(DataError, match=f"no test image of {TABLE} has a finding"):
        classify(model)
    with pytest.raises(DataError, match=f"no test image of {TABLE} shows Lung opacity or"):
        ground(model)


def test_one_class_only_has_no_auroc_but_the_rest(run: TrainedModel, tmp_path: Path) -> None:
    answer = classify(prepare(run, _write(tmp_path, "vvt"), TABLE))
    assert {m.metric for m in answer.metrics} == {"f1", "accuracy"}


def test_embeddings_that_are_not_numbers_are_refused_by_name(
    model: TrainedModel, seen: list[Prediction]
) -> None:
    nan = {name: value * np.float32("nan") for name, value in seen[0].features.items()}
    broken = replace(seen[0], features=nan)
    with pytest.raises(ValueError, match=r"kermany_224/4\.png is not finite"):
        Classifier(model).answer([broken])
    with pytest.raises(ValueError, match=r"4\.png: the map of Lung opacity is not finite"):
        best_cuts(Grounder(model), [broken])


def test_a_run_without_alignment_is_not_asked(run: TrainedModel, root: Path) -> None:
    without = replace(run, heads={k: v for k, v in run.heads.items() if k != "similarity"})
    with pytest.raises(TaskNotOffered):
        prepare(without, root, TABLE)


def test_the_dice_of_every_cut_is_that_of_the_region_it_leaves() -> None:
    rng = np.random.default_rng(0)
    heat = rng.uniform(-1, 1, (20, 30)).astype(np.float32)
    truth, counted = rng.random((20, 30)) < 0.3, rng.random((20, 30)) < 0.8
    expected = [dice(heat >= cut, truth, counted) for cut in CUTS]
    np.testing.assert_allclose(dice_curve(heat, truth, counted), expected)


def test_a_map_that_is_right_is_measured_as_right(
    model: TrainedModel, seen: list[Prediction]
) -> None:
    """The pixels of a quarter are the text's embedding and all others its opposite."""
    grounder = Grounder(model)
    text = embed(model, prompts_of("Pneumonia").positive)
    pixels = np.tile(-text[:, None, None], (1, 2, 2))
    pixels[:, 0, 0] = text
    quarter = {"Lung opacity": [(0.0, 0.0, SIZE_PX / 2, SIZE_PX / 2)]}
    one = replace(seen[0], features={"pixel_embeddings": pixels[None]}, boxes=quarter)
    heat = grounder.heat(one, "Lung opacity")
    assert heat.shape == (SIZE_PX, SIZE_PX)
    assert heat[0, 0] == pytest.approx(1.0)
    assert heat[-1, -1] == pytest.approx(-1.0)
    place = place_of(one, "Lung opacity")
    assert place is not None
    cut = best_cuts(grounder, [one])["Lung opacity"]
    found = region_figures(heat, cut, place, one.counted)
    assert points_inside(heat.astype(np.float64), place.mask)
    assert found["recall"] == 1.0
    assert found["dice"] > 0.9
    assert found["cnr"] > 1


def test_grounding_counts_the_images_that_show_something(model: TrainedModel) -> None:
    answer = ground(model)
    assert {(m.label, m.metric) for m in answer.metrics} == {
        ("Lung opacity", name) for name in ("pointing", "cnr", "iou", "dice", "recall")
    }
    assert {m.n for m in answer.metrics} == {2}
    assert answer.rules[0].startswith("cosine from which a pixel belongs to the region, best mean")


def test_grounding_under_mgca_has_both_and_the_tuned_dice_is_never_worse(
    run: TrainedModel, root: Path
) -> None:
    figures = {m.metric: m.value for m in ground(prepare(run, root, TABLE, "mgca")).metrics}
    assert figures["dice (mgca)"] >= figures["dice"]
    assert figures["pointing (mgca)"] == figures["pointing"]


@pytest.mark.parametrize(("task", "figure"), [("classify", "auroc"), ("ground", "recall")])
def test_the_command_prints_rules_and_figures(
    finetuned: Path, root: Path, task: str, figure: str
) -> None:
    asked = ["zero-shot", str(finetuned), "--data", str(root), "--table", TABLE, "--task", task]
    told = CliRunner().invoke(app, asked)
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith("threshold: ")
    assert figure in told.output
    assert "n=" in told.output
