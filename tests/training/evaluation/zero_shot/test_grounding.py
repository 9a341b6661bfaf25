"""Zero-shot grounding: prompts against the pixels of an image."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.builders.training.runs.tiny_runs import SIZE_PX
from tests.builders.training.sets import zero_shot_set
from tests.builders.training.sets.zero_shot_set import TABLE
from training.data.rows.dataset_files import DataError
from training.data.text.zero_shot_prompts import prompts_of
from training.evaluation.evaluators.grounding import region_figures
from training.evaluation.phrases.regions import true_region
from training.evaluation.predictions import Prediction, predict_split
from training.evaluation.trained_model import TrainedModel
from training.evaluation.zero_shot.classification import (
    embed,
    prepare,
)
from training.evaluation.zero_shot.grounding import (
    THRESHOLDS,
    Grounder,
    best_thresholds,
    dice_curve,
    ground,
)
from training.metrics import dice, points_inside


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four radiographs to choose by and four to measure on."""
    return zero_shot_set.write(tmp_path_factory.mktemp("zero_shot"), "vvvvtttt")


@pytest.fixture(scope="module")
def model(evaluated_run: TrainedModel, root: Path) -> TrainedModel:
    """The run over the eight radiographs."""
    return prepare(evaluated_run, root, TABLE)


@pytest.fixture(scope="module")
def tested(model: TrainedModel) -> list[Prediction]:
    """Predictions of the test split."""
    return list(predict_split(model, "test", ("open",)))


def test_the_dice_of_every_threshold_is_that_of_the_region_it_leaves() -> None:
    rng = np.random.default_rng(0)
    heat = rng.uniform(-1, 1, (20, 30)).astype(np.float32)
    truth, counted = rng.random((20, 30)) < 0.3, rng.random((20, 30)) < 0.8
    expected = [dice(heat >= threshold, truth, counted) for threshold in THRESHOLDS]
    np.testing.assert_allclose(dice_curve(heat, truth, counted), expected)


def test_a_map_that_is_right_is_measured_as_right(
    model: TrainedModel, tested: list[Prediction]
) -> None:
    """The pixels of a quarter are the text's embedding and all others its opposite."""
    grounder = Grounder(model)
    text = embed(model, prompts_of("Pneumonia").positive)
    pixels = np.tile(-text[:, None, None], (1, 2, 2))
    pixels[:, 0, 0] = text
    quarter = {"Lung opacity": [(0.0, 0.0, SIZE_PX / 2, SIZE_PX / 2)]}
    one = replace(tested[0], features={"pixel_embeddings": pixels[None]}, boxes=quarter)
    heat = grounder.heat(one, "Lung opacity")
    assert heat.shape == (SIZE_PX, SIZE_PX)
    assert heat[0, 0] == pytest.approx(1.0)
    assert heat[-1, -1] == pytest.approx(-1.0)
    region = true_region(one, "Lung opacity")
    assert region is not None
    threshold = best_thresholds(grounder, [one])["Lung opacity"]
    found = region_figures(heat, threshold, region, one.counted)
    assert points_inside(heat.astype(np.float64), region.mask)
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
    evaluated_run: TrainedModel, root: Path
) -> None:
    figures = {
        m.metric: m.value for m in ground(prepare(evaluated_run, root, TABLE, "mgca")).metrics
    }
    assert figures["dice (mgca)"] >= figures["dice"]
    assert figures["pointing (mgca)"] == figures["pointing"]


def test_without_a_validation_split_the_threshold_is_fixed(
    evaluated_run: TrainedModel, tmp_path: Path
) -> None:
    model = prepare(evaluated_run, zero_shot_set.write(tmp_path, "tttt"), TABLE)
    assert "Lung opacity 0.3, fixed: none to choose by" in ground(model).rules[0]


def test_an_empty_test_split_is_an_error_that_names_the_set(
    evaluated_run: TrainedModel, tmp_path: Path
) -> None:
    model = prepare(evaluated_run, zero_shot_set.write(tmp_path, "vv"), TABLE)
    with pytest.raises(DataError, match=f"no test image of {TABLE} shows Lung opacity or"):
        ground(model)


def test_a_map_that_is_not_finite_is_refused_by_name(
    model: TrainedModel, tested: list[Prediction]
) -> None:
    nan = {name: value * np.float32("nan") for name, value in tested[0].features.items()}
    with pytest.raises(ValueError, match=r"4\.png: the map of Lung opacity is not finite"):
        best_thresholds(Grounder(model), [replace(tested[0], features=nan)])
