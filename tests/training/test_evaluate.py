"""Calibration and measurement of a run, on the miniature radiographs it was trained on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from radiograph.manifest import Task
from tests.training.tiny_runs import SIZE_PX
from training.calibrate import calibrate, statistics
from training.data.phrases import HELD_OUT
from training.evaluate import evaluate
from training.inference import FloatArray, TrainedModel, load_run
from training.seen import Seen, see


@pytest.fixture(scope="module")
def model(finetuned: Path) -> TrainedModel:
    """The run, in evaluation mode."""
    return load_run(finetuned)


@pytest.fixture(scope="module")
def seen(model: TrainedModel) -> list[Seen]:
    """All eight radiographs."""
    return list(see(model, "train", ("open",)))


def test_what_is_seen_is_in_source_pixels(seen: list[Seen]) -> None:
    assert len(seen) == 8
    assert seen[0].counted.shape == (SIZE_PX, SIZE_PX)
    assert seen[0].masks["Right lung"].sum() == 48 * 22
    assert seen[0].boxes["Left lung"] == [(38.0, 8.0, 56.0, 48.0)]
    assert seen[0].boxes["Lung opacity"] == [(10.0, 12.0, 24.0, 30.0)]
    assert seen[1].boxes["Lung opacity"] == []  # normal: there is none
    assert "Lung opacity" not in seen[2].boxes  # pneumonia without boxes: nobody knows


def test_a_limit_spreads_evenly_and_other_licences_are_not_seen(model: TrainedModel) -> None:
    few = list(see(model, "train", ("open",), limit=4))
    assert [s.row.image for s in few] == [f"kermany_224/{i}.png" for i in (0, 2, 4, 6)]
    assert not list(see(model, "train", ("noncommercial",)))
    assert not list(see(model, "test", ("open",)))


def test_calibration_describes_every_head(model: TrainedModel, seen: list[Seen]) -> None:
    specs = calibrate(model, seen)
    assert {name: spec.kind for name, spec in specs.items()} == {
        "findings": Task.CLASSIFY,
        "anatomy": Task.SEGMENT,
        "boxes": Task.DETECT,
        "regions": Task.GROUND,
        "similarity": Task.GROUND,
    }
    assert specs["regions"].method == "aligned"
    assert specs["similarity"].method == "zero_shot"
    assert 0.25 <= specs["findings"].temperature <= 8
    assert "validation" in specs["findings"].threshold_rule


def test_every_metric_lies_in_its_interval(model: TrainedModel, seen: list[Seen]) -> None:
    metrics = evaluate(model, calibrate(model, seen), seen)
    assert {m.task for m in metrics} == {Task.CLASSIFY, Task.SEGMENT, Task.DETECT, Task.GROUND}
    for metric in metrics:
        assert 0 <= metric.low <= metric.value <= metric.high <= 1, metric
        assert metric.n <= len(seen)
    labels = {m.label for m in metrics if m.task is Task.SEGMENT}
    assert labels == {"Left lung", "Right lung", "Both lungs"}


def test_another_split_than_test_never_sees_the_held_out_wordings(
    model: TrainedModel, seen: list[Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    text = type(model).text

    def listen(self: TrainedModel, phrases: Sequence[str]) -> FloatArray:
        asked.extend(phrases)
        return text(self, phrases)

    monkeypatch.setattr(type(model), "text", listen)
    metrics = evaluate(model, calibrate(model, seen), seen, "valid")
    assert {m.split for m in metrics} == {"valid"}
    held = {word for words in HELD_OUT.values() for word in words}
    assert asked
    assert not held & set(asked)


def test_usual_radiographs_are_below_the_threshold_and_others_above(seen: list[Seen]) -> None:
    usual = statistics(seen, seen)
    features = [s.features["global_features"][0] for s in seen]
    assert np.median([usual.score(f) for f in features]) < usual.threshold
    assert usual.score(features[0] + np.float32(100)) > usual.threshold
