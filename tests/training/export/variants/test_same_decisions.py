"""Share of the decisions that are alike."""

from dataclasses import replace

import numpy as np
import pytest

from radiograph.manifest import HeadSpec
from training.evaluation.predictions import Prediction
from training.evaluation.trained_model import TrainedModel
from training.export.variants.same_decisions import SameDecisions

Heads = dict[str, HeadSpec]


def _shares(
    model: TrainedModel, heads: Heads, pairs: list[tuple[Prediction, Prediction]]
) -> dict[str, float]:
    decisions = SameDecisions(model, heads)
    for ours, theirs in pairs:
        decisions.add(ours, theirs)
    return decisions.shares


def _with(prediction: Prediction, head: str, **changes: float) -> Prediction:
    """Return the prediction with one value everywhere in some raw outputs of a head."""
    raw = prediction.outputs[head]
    changed = raw | {name: np.full_like(raw[name], value) for name, value in changes.items()}
    return replace(prediction, outputs=prediction.outputs | {head: changed})


def _at(heads: Heads, name: str, threshold: float) -> Heads:
    labels = tuple(x.model_copy(update={"threshold": threshold}) for x in heads[name].labels)
    return {name: heads[name].model_copy(update={"labels": labels})}


def test_a_trunk_decides_as_it_does_itself(
    evaluated_run: TrainedModel, calibrated: Heads, predictions: list[Prediction]
) -> None:
    same = _shares(evaluated_run, calibrated, [(one, one) for one in predictions])
    assert same == dict.fromkeys(calibrated, 1.0)


def test_one_image_of_four_with_other_findings_is_a_quarter(
    evaluated_run: TrainedModel, calibrated: Heads, predictions: list[Prediction]
) -> None:
    heads = _at(calibrated, "findings", 0.5)
    yes = [_with(one, "findings", logits=9.0) for one in predictions[:4]]
    pairs = list(zip(yes, [*yes[:3], _with(yes[3], "findings", logits=-9.0)], strict=True))
    assert _shares(evaluated_run, heads, pairs) == {"findings": 0.75}


def test_masks_agree_by_the_pixels_of_either(
    evaluated_run: TrainedModel, calibrated: Heads, predictions: list[Prediction]
) -> None:
    heads = _at(calibrated, "anatomy", 0.5)
    labels = tuple(x.model_copy(update={"clean": None}) for x in heads["anatomy"].labels)
    heads = {"anatomy": heads["anatomy"].model_copy(update={"labels": labels})}
    whole = _with(predictions[0], "anatomy", logits=9.0)
    logits = whole.outputs["anatomy"]["logits"].copy()
    logits[:, : logits.shape[1] // 2] = -9.0
    half = replace(whole, outputs=whole.outputs | {"anatomy": {"logits": logits}})
    shares = _shares(evaluated_run, heads, [(whole, half)])
    assert shares["anatomy"] == pytest.approx(0.5, abs=0.02)
    nothing = _with(predictions[0], "anatomy", logits=-9.0)
    assert _shares(evaluated_run, heads, [(nothing, nothing)]) == {"anatomy": 1.0}


def test_boxes_of_one_side_alone_are_not_alike(
    evaluated_run: TrainedModel, calibrated: Heads, predictions: list[Prediction]
) -> None:
    heads = _at(calibrated, "boxes", 0.5)
    some = _with(predictions[0], "boxes", logits=9.0)
    none = _with(predictions[0], "boxes", logits=-9.0)
    assert _shares(evaluated_run, heads, [(some, none)]) == {"boxes": 0.0}
    assert _shares(evaluated_run, heads, [(some, some), (none, none)]) == {"boxes": 1.0}
