"""Calibration and evaluation measure the masks that are served, islands and holes removed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from radiograph.manifest import HeadSpec, Label, MaskCleaning, Metric
from radiograph.postprocess import heads
from training.evaluation.calibration.calibrate import calibrate
from training.evaluation.evaluate import evaluate
from training.evaluation.predictions import Prediction, predict_split
from training.evaluation.trained_model import TrainedModel, load_run

WHOLE = MaskCleaning(largest=1, fill_holes=True)
LUNG = "Left lung"


@pytest.fixture(scope="module")
def model(finetuned: Path) -> TrainedModel:
    """A run whose configuration cleans one of its masks."""
    run = load_run(finetuned)
    return replace(run, config=run.config.model_copy(update={"clean": {LUNG: WHOLE}}))


@pytest.fixture(scope="module")
def predictions(model: TrainedModel) -> list[Prediction]:
    """Radiographs with lungs that are certain, each with a doubtful island and hole."""
    return [
        replace(each, outputs={**each.outputs, "anatomy": {"logits": rough(each)}})
        for each in predict_split(model, "train", ("open",))
    ]


def rough(prediction: Prediction) -> NDArray[np.float32]:
    """Logits of both lungs: the truth at 0.9, an island at 0.7 and a hole at 0.4."""
    certain, doubtful, hole = (np.float32(np.log(p / (1 - p))) for p in (0.9, 0.7, 0.4))
    maps = []
    for name in ("Left lung", "Right lung"):
        logits = np.where(prediction.masks[name], certain, -certain).astype(np.float32)
        rows, columns = np.nonzero(prediction.masks[name])
        logits[-6:, -8:] = doubtful  # below both lungs
        logits[rows.mean().astype(int), columns.mean().astype(int)] = hole
        maps.append(logits)
    return np.stack(maps)


def threshold(spec: HeadSpec, name: str) -> float:
    return {label.name: label.threshold for label in spec.labels}[name]


def dice_of(metrics: tuple[Metric, ...], label: str) -> list[float]:
    return [m.value for m in metrics if (m.label, m.metric) == (label, "dice")]


def test_the_parameters_of_the_run_reach_the_manifest(
    model: TrainedModel, predictions: list[Prediction]
) -> None:
    spec = calibrate(model, predictions)["anatomy"]
    assert [label.clean for label in spec.labels] == [WHOLE, None]


def test_thresholds_are_chosen_on_the_clean_masks(
    model: TrainedModel, predictions: list[Prediction]
) -> None:
    """The island does no harm where it is dropped, so the lowest threshold is as good as any."""
    spec = calibrate(model, predictions)["anatomy"]
    assert threshold(spec, LUNG) == pytest.approx(0.2)
    assert threshold(spec, "Right lung") > 0.7


def test_figures_are_those_of_the_clean_masks(
    model: TrainedModel, predictions: list[Prediction]
) -> None:
    label = Label(name=LUNG, threshold=0.5)
    spec = calibrate(model, predictions)["anatomy"]
    with_island = spec.model_copy(update={"labels": (label, *spec.labels[1:])})
    clean = spec.model_copy(
        update={"labels": (label.model_copy(update={"clean": WHOLE}), *spec.labels[1:])}
    )
    (before,) = dice_of(evaluate(model, {"anatomy": with_island}, predictions), LUNG)
    (after,) = dice_of(evaluate(model, {"anatomy": clean}, predictions), LUNG)
    assert after == 1.0
    assert before < 0.98


def test_a_figure_is_that_of_the_mask_that_is_served(
    model: TrainedModel, predictions: list[Prediction]
) -> None:
    spec = calibrate(model, predictions)["anatomy"]
    one = predictions[0]
    served = heads.segment(spec, one.outputs["anatomy"], one.geometry, None)[0]
    assert np.array_equal(served.mask, one.masks[LUNG])
