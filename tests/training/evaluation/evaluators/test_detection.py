"""Evaluation of boxes."""

from dataclasses import replace

import pytest

from radiograph.manifest import HeadSpec
from training.evaluation.evaluate import evaluate
from training.evaluation.evaluators.detection import FOUND, DetectionEvaluator
from training.evaluation.evaluators.estimates import ALL_LABELS
from training.evaluation.predictions import Prediction
from training.evaluation.trained_model import TrainedModel
from training.metrics import BoxesOfImage


def test_without_a_box_the_head_has_no_figure(
    evaluated_run: TrainedModel, calibrated: dict[str, HeadSpec], predictions: list[Prediction]
) -> None:
    bare = [replace(one, boxes={}) for one in predictions]
    assert evaluate(evaluated_run, {"boxes": calibrated["boxes"]}, bare) == ()


class _Drawn:
    """A head that finds an effusion where a mass is, and a lung where it is."""

    def detections(self, prediction: Prediction) -> dict[str, BoxesOfImage]:
        box = (10.0, 10.0, 20.0, 20.0)
        return {
            "Effusion": BoxesOfImage((0.9,), (box,), ()),
            "Mass": BoxesOfImage((0.8,), (box,), (box, (50.0, 50.0, 60.0, 60.0))),
            "Left lung": BoxesOfImage((0.7,), (box,), (box,)),
        }


def test_a_box_counts_for_its_own_finding(
    evaluated_run: TrainedModel, predictions: list[Prediction]
) -> None:
    head = _Drawn()
    head.model = evaluated_run  # type: ignore[attr-defined]
    evaluator = DetectionEvaluator(head, "t")  # type: ignore[arg-type]
    evaluator.add(predictions[0])
    metrics = [figure.metric() for figure in evaluator.figures()]
    found = {m.label: m.value for m in metrics if m.metric == FOUND}
    assert found == {
        "Mass": 0.5,
        ALL_LABELS: 0.5,
        "Effusion": pytest.approx(float("nan"), nan_ok=True),
    }
