"""Evaluation of masks."""

from dataclasses import replace

import numpy as np
import pytest

from radiograph.manifest import HeadSpec
from training.evaluation.evaluate import evaluate
from training.evaluation.predictions import Prediction
from training.evaluation.trained_model import TrainedModel


def test_without_a_mask_the_head_has_no_figure(
    evaluated_run: TrainedModel, calibrated: dict[str, HeadSpec], predictions: list[Prediction]
) -> None:
    bare = [replace(one, masks={}) for one in predictions]
    assert evaluate(evaluated_run, {"anatomy": calibrated["anatomy"]}, bare) == ()


def test_an_empty_truth_counts_and_is_reported_apart(
    evaluated_run: TrainedModel, calibrated: dict[str, HeadSpec], predictions: list[Prediction]
) -> None:
    nothing = np.zeros_like(predictions[0].counted)
    some = [replace(predictions[0], masks={"Left lung": nothing}), *predictions[1:]]
    found = evaluate(evaluated_run, {"anatomy": calibrated["anatomy"]}, some)
    metrics = {m.metric: m for m in found if m.label == "Left lung"}
    assert metrics["dice"].n == 8
    assert metrics["dice, where present"].n == 7
    assert metrics["dice"].value == pytest.approx(
        metrics["dice, where present"].value * 7 / 8, abs=1e-3
    )  # something was drawn in the empty one: 0
