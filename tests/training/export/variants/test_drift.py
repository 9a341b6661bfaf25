"""Drift of a variant, and the gate."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from radiograph.manifest import HeadSpec, Task
from tests.builders.training.runs import split_runs
from training.evaluation.evaluators.estimates import Figure, Quantity
from training.evaluation.trained_model import TrainedModel
from training.export.variants.drift import LARGEST_LOSS, Pair, compare, mean_loss, refusals
from training.metrics import weighted_mean
from training.metrics.arrays import FloatArray

Values = Sequence[float] | NDArray[np.float64]


def _figure(values: Values, label: str = "Heart") -> Figure:
    quantity = Quantity("set", Task.SEGMENT, label, "dice")
    patients = [str(number) for number in range(len(values))]
    return Figure(quantity, patients, partial(weighted_mean, np.array(values)))


def _pair(ours: Values, theirs: Values, label: str = "Heart") -> Pair:
    return Pair("anatomy", _figure(ours, label), _figure(theirs, label))


EXACT = np.linspace(0.8, 0.99, 40)


def test_a_small_loss_of_every_image_is_accepted_up_to_the_limit() -> None:
    assert list(refusals([_pair(EXACT, EXACT - 0.004)])) == []
    found = list(refusals([_pair(EXACT, EXACT - 0.006)]))
    assert found == [
        "set Heart dice: 0.889 instead of 0.895 (anatomy)",
        "dice: 0.0060 less in the mean (anatomy)",
    ]


def test_a_loss_of_one_image_may_be_chance_but_counts_in_the_mean() -> None:
    few = [0.9] * 10
    worse = [*few[:9], 0.8]  # 0.01 less in the mean of ten
    assert not _pair(few, worse).surely_drops()
    assert list(refusals([_pair(few, worse)])) == ["dice: 0.0100 less in the mean (anatomy)"]
    beside = _pair(EXACT, EXACT, "Left lung")  # (10 * 0.01 + 40 * 0) / 50 = 0.002
    assert list(refusals([_pair(few, worse), beside])) == []


def test_a_loss_hidden_in_the_mean_is_refused_by_itself() -> None:
    hidden = _pair(EXACT[:20], EXACT[:20] - 0.01)
    beside = _pair(np.tile(EXACT, 5), np.tile(EXACT, 5) + 0.002, "Left lung")
    assert mean_loss([hidden.drift, beside.drift]) < 0 < LARGEST_LOSS
    (found,) = refusals([hidden, beside])
    assert found.startswith("set Heart dice: ")


def test_a_loss_of_every_one_of_few_patients_counts_in_the_mean_alone() -> None:
    assert not _pair(EXACT[:9], EXACT[:9] - 0.1).surely_drops()
    assert _pair(EXACT[:10], EXACT[:10] - 0.1).surely_drops()


def test_a_gain_is_never_refused() -> None:
    assert list(refusals([_pair(EXACT - 0.1, EXACT)])) == []


@pytest.fixture(scope="module")
def model(evaluated_run: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """The fine-tuned run with eight validation images."""
    return split_runs.with_validation(evaluated_run, tmp_path_factory.mktemp("split"))


def test_the_trunk_itself_does_not_drift(
    model: TrainedModel, calibrated: dict[str, HeadSpec]
) -> None:
    found = compare(model, calibrated, (model.trunk, model.trunk))
    assert found.refusals == ()
    assert {drift.metric for drift in found.drift if drift.head == "anatomy"} == {"dice"}
    of_phrases = {drift.metric for drift in found.drift if drift.head == "similarity"}
    assert {metric.partition(" ")[0] for metric in of_phrases} <= {"auroc", "pointing", "presence"}
    assert all(drift.value == drift.float32 for drift in found.drift)
    assert set(found.same_decisions.values()) == {1.0}


def test_a_trunk_that_draws_no_masks_is_refused(
    model: TrainedModel, calibrated: dict[str, HeadSpec]
) -> None:
    def mute(images: FloatArray) -> dict[str, FloatArray]:
        return {name: np.zeros_like(value) for name, value in model.trunk(images).items()}

    heads = split_runs.drawing_only_what_is_seen(model, {"anatomy": calibrated["anatomy"]})
    found = compare(model, heads, (model.trunk, mute))
    assert {drift.value for drift in found.drift} == {0.0}
    assert any(words.startswith("dice: ") for words in found.refusals)
    assert found.same_decisions == {"anatomy": 0.0}


def test_labels_that_are_not_answered_are_not_compared(
    model: TrainedModel, calibrated: dict[str, HeadSpec]
) -> None:
    head = calibrated["findings"]
    labels = (head.labels[0].model_copy(update={"threshold": 1.0}), *head.labels[1:])
    heads = {"findings": head.model_copy(update={"labels": labels})}
    found = compare(model, heads, (model.trunk, model.trunk))
    assert labels[0].name not in {drift.label for drift in found.drift}
