"""Evaluation of boxes."""

from dataclasses import replace

from radiograph.manifest import HeadSpec
from training.evaluation.evaluate import evaluate
from training.evaluation.predictions import Prediction
from training.evaluation.trained_model import TrainedModel


def test_without_a_box_the_head_has_no_figure(
    evaluated_run: TrainedModel, calibrated: dict[str, HeadSpec], predictions: list[Prediction]
) -> None:
    bare = [replace(one, boxes={}) for one in predictions]
    assert evaluate(evaluated_run, {"boxes": calibrated["boxes"]}, bare) == ()
