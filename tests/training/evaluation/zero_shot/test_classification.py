"""Zero-shot classification: prompts against an image."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from radiograph.errors import TaskNotOffered
from tests.builders.training.sets import zero_shot_set
from tests.builders.training.sets.zero_shot_set import TABLE
from training.data.rows.dataset_files import DataError
from training.data.text.zero_shot_prompts import prompts_of
from training.evaluation.predictions import Prediction, predict_split
from training.evaluation.trained_model import TrainedModel
from training.evaluation.zero_shot.classification import (
    Classifier,
    ScoredImages,
    classify,
    embed,
    prepare,
)
from training.metrics.arrays import FloatArray


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


def _unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def test_an_ensemble_is_the_mean_direction_of_its_prompts(model: TrainedModel) -> None:
    texts = ["pneumonia", "no pneumonia"]
    alone = np.stack([embed(model, [text]) for text in texts])
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(embed(model, texts), _unit(alone.mean(axis=0)), atol=1e-5)


def test_the_probability_is_the_softmax_of_both_cosines_at_sigma(
    model: TrainedModel, tested: list[Prediction]
) -> None:
    image = tested[0].features["global_embedding"][0]
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
    evaluated_run: TrainedModel, root: Path
) -> None:
    answer = classify(prepare(evaluated_run, root, TABLE, "mgca"))
    figures = {m.metric: m.value for m in answer.metrics}
    assert set(figures) == {"auroc", "f1", "accuracy", "f1 (mgca)", "accuracy (mgca)"}
    assert figures["f1 (mgca)"] >= figures["f1"]
    assert "on the test split itself" in answer.rules[1]


def test_findings_are_averaged_over_those_that_are_known() -> None:
    found = ScoredImages(
        ["a", "b", "c"],
        [{"Mass": 0.9}, {"Mass": 0.2, "Nodule": 0.3}, {"Nodule": 0.1}],
        [{"Mass": True}, {"Mass": False, "Nodule": True}, {"Nodule": False}],
    )
    rows, scores, positive = found.of("Nodule")
    assert found.findings == ["Mass", "Nodule"]
    assert rows.tolist() == [1, 2]
    assert scores.tolist() == [0.3, 0.1]
    assert positive.tolist() == [True, False]


def test_without_a_validation_split_no_threshold_is_chosen(
    evaluated_run: TrainedModel, tmp_path: Path
) -> None:
    model = prepare(evaluated_run, zero_shot_set.write(tmp_path, "tttt"), TABLE)
    assert classify(model).rules == (
        "best F1 on the validation split, for each finding; 0.5 where that shows none: Pneumonia",
    )


def test_an_empty_test_split_is_an_error_that_names_the_set(
    evaluated_run: TrainedModel, tmp_path: Path
) -> None:
    model = prepare(evaluated_run, zero_shot_set.write(tmp_path, "vv"), TABLE)
    with pytest.raises(DataError, match=f"no test image of {TABLE} has a finding"):
        classify(model)


def test_one_class_only_has_no_auroc_but_the_rest(
    evaluated_run: TrainedModel, tmp_path: Path
) -> None:
    answer = classify(prepare(evaluated_run, zero_shot_set.write(tmp_path, "vvt"), TABLE))
    assert {m.metric for m in answer.metrics} == {"f1", "accuracy"}


def test_an_image_embedding_that_is_not_finite_is_refused_by_name(
    model: TrainedModel, tested: list[Prediction]
) -> None:
    nan = {name: value * np.float32("nan") for name, value in tested[0].features.items()}
    with pytest.raises(ValueError, match=r"kermany_224/4\.png is not finite"):
        Classifier(model).score([replace(tested[0], features=nan)])


def test_a_run_without_alignment_is_refused(evaluated_run: TrainedModel, root: Path) -> None:
    without = replace(
        evaluated_run, heads={k: v for k, v in evaluated_run.heads.items() if k != "similarity"}
    )
    with pytest.raises(TaskNotOffered):
        prepare(without, root, TABLE)
