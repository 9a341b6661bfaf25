"""Evaluation of a run, on the miniature radiographs that it was trained on."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from radiograph.errors import InvalidVersion
from radiograph.manifest import HeadKind, HeadSpec, Metric, Task
from training.data.text.phrases.unseen_wordings import HELD_OUT
from training.evaluation.calibration.calibrate import calibrate
from training.evaluation.evaluate import evaluate
from training.evaluation.predictions import Prediction, predict_split
from training.evaluation.trained_model import TrainedModel
from training.metrics.arrays import FloatArray


def test_every_metric_lies_in_its_interval(
    measured: tuple[Metric, ...], predictions: list[Prediction]
) -> None:
    assert {m.task for m in measured} == {Task.CLASSIFY, Task.SEGMENT, Task.DETECT, Task.GROUND}
    for metric in measured:
        if not metric.metric.startswith("ece"):  # a resample is less calibrated than its images
            assert metric.low <= metric.value <= metric.high, metric
        if not metric.metric.startswith("cnr"):
            assert 0 <= metric.low <= metric.high <= 1, metric
        assert metric.n <= len(predictions)
    labels = {m.label for m in measured if m.task is Task.SEGMENT}
    assert labels == {"Left lung", "Right lung", "Both lungs"}


def test_every_head_has_its_metrics(measured: tuple[Metric, ...]) -> None:
    named: dict[tuple[HeadKind, str], set[str]] = {}
    for m in measured:
        named.setdefault((m.task, m.label), set()).add(m.metric)
    assert named[Task.CLASSIFY, "Pneumonia"] == {
        *("auroc", "sensitivity", "specificity", "f1", "accuracy", "ece", "ece, equal mass"),
    }
    assert named[Task.CLASSIFY, "all findings"] == {"macro auroc"}
    assert named[Task.SEGMENT, "Left lung"] == {"dice", "iou"}
    assert named[Task.DETECT, "Left lung"] == {"ap50", "map"}
    ground = {"pointing", "cnr", "iou", "dice", "recall"}
    assert named[Task.GROUND, "left lung"] == {
        f"{name} ({method})" for name in ground for method in ("aligned", "zero_shot")
    }
    # the box of one opacity is a target; pneumonia is labelled everywhere
    assert named[Task.GROUND, "pneumonia"] == named[Task.GROUND, "left lung"] | {
        f"auroc ({method})" for method in ("aligned", "zero_shot")
    }
    of_opacity = [m for m in measured if (m.label, m.metric[:5]) == ("pneumonia", "point")]
    assert {m.n for m in of_opacity} == {1}


def test_the_published_metrics_are_added_under_their_protocol_alone(
    evaluated_run: TrainedModel,
    calibrated: dict[str, HeadSpec],
    measured: tuple[Metric, ...],
    predictions: list[Prediction],
) -> None:
    data = evaluated_run.config.data.model_copy(update={"protocol": "mgca"})
    config = evaluated_run.config.model_copy(update={"data": data})
    masks_and_boxes = {name: calibrated[name] for name in ("anatomy", "boxes")}
    both = evaluate(replace(evaluated_run, config=config), masks_and_boxes, predictions)
    assert not [m for m in measured if m.metric.endswith("(mgca)")]
    assert {m for m in both if not m.metric.endswith("(mgca)")} <= set(measured)
    assert {(m.label, m.metric) for m in both if m.task is Task.SEGMENT} >= {
        ("Left lung", "dice (mgca)"),
        ("Right lung", "dice (mgca)"),
    }
    of_batches = [m for m in both if m.metric == "dice (mgca)"]
    assert all(m.low == m.value == m.high and m.n == 8 for m in of_batches)


def test_predictions_need_not_be_kept_to_evaluate(
    evaluated_run: TrainedModel, calibrated: dict[str, HeadSpec], measured: tuple[Metric, ...]
) -> None:
    one_by_one = predict_split(evaluated_run, "train", ("open",))
    assert evaluate(evaluated_run, calibrated, one_by_one) == measured


def test_an_empty_split_measures_nothing(
    evaluated_run: TrainedModel, calibrated: dict[str, HeadSpec]
) -> None:
    assert evaluate(evaluated_run, calibrated, []) == ()


def test_scores_that_are_not_finite_are_refused(
    evaluated_run: TrainedModel, calibrated: dict[str, HeadSpec], predictions: list[Prediction]
) -> None:
    logits = np.full(2, np.nan, dtype=np.float32)
    broken = [
        replace(one, outputs=one.outputs | {"findings": {"logits": logits}}) for one in predictions
    ]
    with pytest.raises(InvalidVersion, match="`logits` is not finite"):
        evaluate(evaluated_run, calibrated, broken)


def test_another_split_than_test_never_uses_the_held_out_wordings(
    evaluated_run: TrainedModel, predictions: list[Prediction], monkeypatch: pytest.MonkeyPatch
) -> None:
    requested: list[str] = []
    text = type(evaluated_run).text

    def listen(self: TrainedModel, phrases: Sequence[str]) -> FloatArray:
        requested.extend(phrases)
        return text(self, phrases)

    monkeypatch.setattr(type(evaluated_run), "text", listen)
    metrics = evaluate(evaluated_run, calibrate(evaluated_run, predictions), predictions, "valid")
    assert {m.split for m in metrics} == {"valid"}
    held = {word for words in HELD_OUT.values() for word in words}
    assert requested
    assert not held & set(requested)
