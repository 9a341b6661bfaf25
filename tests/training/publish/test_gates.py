"""Gates that compare metrics: which metrics gate, and with which they are compared."""

from pathlib import Path

import pytest

from radiograph.errors import PublishRefused
from radiograph.manifest import Label, Task
from tests.builders.training.runs.evaluated_runs import metric_of
from training.evaluation.calibration.calibrate import calibrate
from training.evaluation.trained_model import TrainedModel, load_run
from training.publish.gates import refuse_worse, with_heads


@pytest.fixture(scope="module")
def model(finetuned: Path) -> TrainedModel:
    """A run of every head, in evaluation mode."""
    return load_run(finetuned)


@pytest.mark.parametrize(
    "name",
    ["sensitivity", "specificity", "f1", "accuracy", "ece", "ece, equal mass", "map (mgca)"],
)
def test_metrics_that_a_threshold_moves_or_that_fall_when_better_never_gate(name: str) -> None:
    refuse_worse((metric_of(0.1, 0.0, name),), (metric_of(0.9, 0.85, name),))


@pytest.mark.parametrize("name", ["auroc", "dice", "iou", "ap50", "map", "pointing (aligned)"])
def test_metrics_of_ranking_and_overlap_gate(name: str) -> None:
    with pytest.raises(PublishRefused, match=r"0\.1 is below 0\.85"):
        refuse_worse((metric_of(0.1, 0.0, name),), (metric_of(0.9, 0.85, name),))


def test_metrics_are_compared_within_one_head() -> None:
    other = metric_of(0.5, 0.4).model_copy(update={"head": "heart"})
    refuse_worse((other,), (metric_of(0.9, 0.85),))
    with pytest.raises(PublishRefused, match=r"0\.5 is below 0\.85 \(heart\)"):
        refuse_worse(
            (other,),
            (metric_of(0.9, 0.85), metric_of(0.9, 0.85).model_copy(update={"head": "heart"})),
        )


def test_a_metric_without_a_head_gets_the_head_that_has_its_label(model: TrainedModel) -> None:
    specs = calibrate(model, ())
    spec = specs["anatomy"]
    lungs = spec.model_copy(update={"labels": (Label(name="Heart"),)})
    silent = metric_of(0.9, 0.8).model_copy(update={"head": None})
    several = silent.model_copy(update={"label": "Both lungs"})
    ground = silent.model_copy(
        update={"task": Task.GROUND, "label": "pneumonia", "metric": "pointing (zero_shot)"}
    )
    heads = {"heart": lungs} | specs
    found = with_heads((silent, several, ground), heads)
    assert [m.head for m in found] == ["anatomy", "heart", "similarity"]
