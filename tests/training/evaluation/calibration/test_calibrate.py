"""Calibration: temperature and thresholds, chosen on the validation split."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from radiograph.manifest import HeadSpec, Task
from radiograph.postprocess import heads
from training.evaluation.calibration.calibrate import ThresholdRule, calibrate
from training.evaluation.predictions import Prediction, predict_split
from training.evaluation.trained_model import TrainedModel
from training.metrics.arrays import FloatArray


def test_calibration_describes_every_head(calibrated: dict[str, HeadSpec]) -> None:
    assert {name: spec.kind for name, spec in calibrated.items()} == {
        "findings": Task.CLASSIFY,
        "anatomy": Task.SEGMENT,
        "boxes": Task.DETECT,
        "regions": Task.GROUND,
        "similarity": Task.GROUND,
    }
    assert calibrated["regions"].method == "aligned"
    assert calibrated["similarity"].method == "zero_shot"
    assert 0.25 <= calibrated["findings"].temperature <= 8
    assert "validation" in calibrated["findings"].threshold_rule


def test_predictions_need_not_be_kept_to_calibrate(
    evaluated_run: TrainedModel, calibrated: dict[str, HeadSpec]
) -> None:
    assert calibrate(evaluated_run, predict_split(evaluated_run, "train", ("open",))) == calibrated


def test_an_empty_split_chooses_nothing(evaluated_run: TrainedModel) -> None:
    specs = calibrate(evaluated_run, [])
    assert {label.threshold for label in specs["findings"].labels} == {0.5}
    assert specs["findings"].temperature == 1.0
    assert "Pneumonia, Viral pneumonia" in specs["findings"].threshold_rule
    assert all(label.withheld for name in ("anatomy", "boxes") for label in specs[name].labels)


def test_thresholds_by_a_target_sensitivity_say_so(
    evaluated_run: TrainedModel, predictions: list[Prediction]
) -> None:
    spec = calibrate(evaluated_run, predictions, ThresholdRule.parse("sensitivity:1.0"))["findings"]
    assert spec.threshold_rule == (
        "the highest of sensitivity 1, for each label, on the validation split; "
        "0.5 where that has one class only: Viral pneumonia"
    )
    found = [heads.classify(spec, one.outputs["findings"])[0] for one in predictions]
    assert all(
        f.positive
        for f, one in zip(found, predictions, strict=True)
        if "pneumonia" in one.row.labels
    )


@pytest.mark.parametrize(
    "text", ["", "best", "sensitivity", "sensitivity:", "sensitivity:0", "sensitivity:95",
             "sensitivity:nan", "specificity:0.9", "youden:1"],
)  # fmt: skip
def test_an_unknown_threshold_rule_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"youden or sensitivity:0\.95, not"):
        ThresholdRule.parse(text)


@pytest.mark.parametrize(("right", "withheld"), [(True, False), (False, True)])
def test_a_finding_is_withheld_by_the_images_that_show_it_alone(
    evaluated_run: TrainedModel, predictions: list[Prediction], *, right: bool, withheld: bool
) -> None:
    """Seven images show nothing, and nothing is drawn in them: a mean Dice of at least 7 / 8."""
    config = evaluated_run.config.model_copy(update={"masks": ("Pneumothorax",)})
    shape = predictions[0].counted.shape
    some = np.zeros(shape, dtype=bool)
    some[:, :32] = True
    images = [
        replace(
            one,
            masks={"Pneumothorax": some if number == 0 else ~some & some},
            outputs={
                "anatomy": {"logits": _logits(some if right and number == 0 else ~some & some)}
            },
        )
        for number, one in enumerate(predictions)
    ]
    heads_alone = {"anatomy": evaluated_run.heads["anatomy"]}
    specs = calibrate(replace(evaluated_run, config=config, heads=heads_alone), images)
    assert specs["anatomy"].labels[0].withheld is withheld


def _logits(mask: NDArray[np.bool_]) -> FloatArray:
    return np.where(mask, 6, -6)[None].astype(np.float32)


def test_scores_that_are_not_finite_are_refused(
    evaluated_run: TrainedModel, predictions: list[Prediction]
) -> None:
    with pytest.raises(ValueError, match="temperature: 16 of 16 scores are not finite"):
        calibrate(evaluated_run, [_not_finite(one) for one in predictions])


def _not_finite(prediction: Prediction) -> Prediction:
    logits = np.full(2, np.nan, dtype=np.float32)
    return replace(prediction, outputs=prediction.outputs | {"findings": {"logits": logits}})


@pytest.mark.parametrize(
    ("positive", "least_auroc", "expected"),
    [
        ([0, 0, 0, 0, 1, 1, 1, 1], 0.7, False),  # an AUROC of 1, however it is resampled
        ([0, 1, 0, 1, 0, 1, 0, 1], 0.7, True),  # 0.625, with a wide interval
        ([0, 1, 0, 1, 0, 1, 0, 1], None, False),
        ([0] * 8, 0.7, True),  # nothing shows that it is right
    ],
)
def test_a_finding_is_withheld_unless_its_interval_lies_above_the_least_auroc(
    positive: list[int], least_auroc: float | None, expected: bool
) -> None:
    rule = ThresholdRule(least_auroc=least_auroc)
    patients = [str(n) for n in range(8)]
    scores = np.arange(8, dtype=np.float64)
    shown, one_set = np.array(positive, dtype=bool), np.array(["a"] * 8)
    assert rule.withholds(scores, shown, patients, one_set) is expected


def test_telling_the_sets_apart_is_no_reason_to_answer_a_finding() -> None:
    """All scores of `b` are higher, as is its share of the finding; within a set they are noise."""
    scores = np.array([0.1, 0.2, 0.3, 0.4] * 10 + [0.6, 0.7, 0.8, 0.9] * 10)
    positive = np.array([False, True, False, False] * 10 + [True, False, True, True] * 10)
    tables, patients = np.array(["a"] * 40 + ["b"] * 40), [str(n) for n in range(80)]
    rule = ThresholdRule(least_auroc=0.6)
    assert not rule.withholds(scores, positive, patients, np.array(["all"] * 80))
    assert rule.withholds(scores, positive, patients, tables)


def test_withheld_findings_have_no_threshold_and_no_answer(
    evaluated_run: TrainedModel, predictions: list[Prediction]
) -> None:
    """Viral pneumonia is absent everywhere; an AUROC above 1 does not exist."""
    spec = calibrate(evaluated_run, predictions, ThresholdRule(least_auroc=1.0))["findings"]
    assert [label.withheld for label in spec.labels] == [True, True]
    assert spec.threshold_rule.endswith("of the AUROC within the data sets lies above 1")
    assert heads.classify(spec, predictions[0].outputs["findings"]) == ()


def test_a_threshold_that_is_chosen_withholds_nothing() -> None:
    scores, positive = np.array([0.99999, 1.0]), np.array([False, True])
    assert ThresholdRule().choose(scores, positive) == 0.9999
    assert ThresholdRule(sensitivity=1.0).choose(scores, positive) == 0.9999


def test_a_large_data_set_does_not_choose_the_threshold_of_a_small_one() -> None:
    """Ill children score 0.9 and ill adults 0.4: 0.35 finds both, 0.675 the children alone."""
    scores = np.array([0.1, 0.9] * 20 + [0.3, 0.4] * 2)
    scores[:16:2] = 0.45  # eight sound children above the ill adults
    positive = np.array([False, True] * 22)
    tables = np.array(["children"] * 40 + ["adults"] * 4)
    assert ThresholdRule().choose(scores, positive) == pytest.approx(0.675)
    assert ThresholdRule().choose(scores, positive, tables) == pytest.approx(0.35)


def test_a_set_of_one_class_has_no_say_in_the_threshold() -> None:
    scores, positive = np.array([0.2, 0.6, 0.9, 0.9]), np.array([False, True, False, False])
    tables = np.array(["a", "a", "b", "b"])
    assert ThresholdRule().choose(scores, positive, tables) == pytest.approx(0.4)
    assert ThresholdRule().choose(scores, positive, np.array(["a", "b", "c", "c"])) == 0.4
