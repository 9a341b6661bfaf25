"""Calibration and measurement of a run, on the miniature radiographs it was trained on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from radiograph.errors import InvalidVersion
from radiograph.manifest import HeadSpec, Metric, Task
from radiograph.postprocess import heads
from tests.builders.training import tiny_runs
from tests.builders.training.tiny_runs import SIZE_PX
from training.data.rows.dataset_files import DataError
from training.data.text.grounding_phrases import HELD_OUT
from training.evaluation.calibration import ThresholdRule, calibrate
from training.evaluation.evaluate import evaluate
from training.evaluation.ood_statistics import statistics
from training.evaluation.predictions import Prediction, predict_split
from training.evaluation.trained_model import TrainedModel, load_run
from training.metrics.arrays import FloatArray


@pytest.fixture(scope="module")
def model(finetuned: Path) -> TrainedModel:
    """The run, in evaluation mode."""
    return load_run(finetuned)


@pytest.fixture(scope="module")
def seen(model: TrainedModel) -> list[Prediction]:
    """All eight radiographs."""
    return list(predict_split(model, "train", ("open",)))


@pytest.fixture(scope="module")
def specs(model: TrainedModel, seen: list[Prediction]) -> dict[str, HeadSpec]:
    """The calibrated heads."""
    return calibrate(model, seen)


@pytest.fixture(scope="module")
def metrics(
    model: TrainedModel, specs: dict[str, HeadSpec], seen: list[Prediction]
) -> tuple[Metric, ...]:
    """Everything that is measured."""
    return evaluate(model, specs, seen)


def test_what_is_seen_is_in_source_pixels(seen: list[Prediction]) -> None:
    assert len(seen) == 8
    assert seen[0].counted.shape == (SIZE_PX, SIZE_PX)
    assert seen[0].masks["Right lung"].sum() == 48 * 22
    assert seen[0].boxes["Left lung"] == [(38.0, 8.0, 56.0, 48.0)]
    assert seen[0].boxes["Lung opacity"] == [(10.0, 12.0, 24.0, 30.0)]
    assert seen[1].boxes["Lung opacity"] == []  # normal: there is none
    assert "Lung opacity" not in seen[2].boxes  # pneumonia without boxes: nobody knows


def test_a_limit_spreads_evenly_and_other_licences_are_not_seen(model: TrainedModel) -> None:
    few = list(predict_split(model, "train", ("open",), limit=4))
    assert [s.row.image for s in few] == [f"kermany_224/{i}.png" for i in (0, 2, 4, 6)]
    assert not list(predict_split(model, "train", ("noncommercial",)))
    assert not list(predict_split(model, "test", ("open",)))


def test_what_cannot_be_read_is_left_out_and_named(
    model: TrainedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tiny_runs.write_kermany(tmp_path)
    (tmp_path / "kermany_224" / "3.png").write_bytes(b"no picture")
    (tmp_path / "kermany_224" / "5.png").unlink()
    elsewhere = replace(model, config=model.config.model_copy(update={"data": data}))
    images = [one.row.image for one in predict_split(elsewhere, "train", ("open",))]
    assert images == [f"kermany_224/{i}.png" for i in (0, 1, 2, 4, 6, 7)]
    told = capsys.readouterr().err
    assert told.count("left out, kermany_224 kermany_224/") == 2
    assert "kermany_224/3.png: " in told


def test_calibration_describes_every_head(specs: dict[str, HeadSpec]) -> None:
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


def test_every_metric_lies_in_its_interval(
    metrics: tuple[Metric, ...], seen: list[Prediction]
) -> None:
    assert {m.task for m in metrics} == {Task.CLASSIFY, Task.SEGMENT, Task.DETECT, Task.GROUND}
    for metric in metrics:
        if not metric.metric.startswith("ece"):  # a resample is less calibrated than its images
            assert metric.low <= metric.value <= metric.high, metric
        if not metric.metric.startswith("cnr"):
            assert 0 <= metric.low <= metric.high <= 1, metric
        assert metric.n <= len(seen)
    labels = {m.label for m in metrics if m.task is Task.SEGMENT}
    assert labels == {"Left lung", "Right lung", "Both lungs"}


def test_every_head_has_its_metrics(metrics: tuple[Metric, ...]) -> None:
    named: dict[tuple[Task, str], set[str]] = {}
    for m in metrics:
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
    of_opacity = [m for m in metrics if (m.label, m.metric[:5]) == ("pneumonia", "point")]
    assert {m.n for m in of_opacity} == {1}


def test_the_published_way_of_measuring_stands_beside_ours_only_where_asked_for(
    model: TrainedModel,
    specs: dict[str, HeadSpec],
    metrics: tuple[Metric, ...],
    seen: list[Prediction],
) -> None:
    data = model.config.data.model_copy(update={"protocol": "mgca"})
    config = model.config.model_copy(update={"data": data})
    masks_and_boxes = {name: specs[name] for name in ("anatomy", "boxes")}
    both = evaluate(replace(model, config=config), masks_and_boxes, seen)
    assert not [m for m in metrics if m.metric.endswith("(mgca)")]
    assert {m for m in both if not m.metric.endswith("(mgca)")} <= set(metrics)
    assert {(m.label, m.metric) for m in both if m.task is Task.SEGMENT} >= {
        ("Left lung", "dice (mgca)"),
        ("Right lung", "dice (mgca)"),
    }


def test_batches_change_nothing_and_nothing_has_to_be_kept(
    model: TrainedModel,
    specs: dict[str, HeadSpec],
    metrics: tuple[Metric, ...],
    seen: list[Prediction],
) -> None:
    alone = list(predict_split(model, "train", ("open",), batch_size=1))
    for one, in_batch in zip(alone, seen, strict=True):
        assert one.row == in_batch.row
        for head, raw in one.outputs.items():
            for name, value in raw.items():
                np.testing.assert_allclose(value, in_batch.outputs[head][name], atol=1e-4)
    assert calibrate(model, predict_split(model, "train", ("open",))) == specs
    assert evaluate(model, specs, predict_split(model, "train", ("open",))) == metrics


def test_an_empty_split_measures_nothing_and_chooses_nothing(model: TrainedModel) -> None:
    specs = calibrate(model, [])
    assert {label.threshold for label in specs["findings"].labels} == {0.5}
    assert specs["findings"].temperature == 1.0
    assert "Pneumonia, Viral pneumonia" in specs["findings"].threshold_rule
    assert all(label.withheld for name in ("anatomy", "boxes") for label in specs[name].labels)
    assert evaluate(model, specs, []) == ()
    with pytest.raises(DataError, match="has no radiograph"):
        statistics([], [])


def test_thresholds_by_a_target_sensitivity_say_so(
    model: TrainedModel, seen: list[Prediction]
) -> None:
    spec = calibrate(model, seen, ThresholdRule.parse("sensitivity:1.0"))["findings"]
    assert spec.threshold_rule == (
        "the highest of sensitivity 1, for each label, on the validation split; "
        "0.5 where that has one class only: Viral pneumonia"
    )
    found = [heads.classify(spec, one.outputs["findings"])[0] for one in seen]
    assert all(
        f.positive for f, one in zip(found, seen, strict=True) if "pneumonia" in one.row.labels
    )


@pytest.mark.parametrize(
    "text", ["", "best", "sensitivity", "sensitivity:", "sensitivity:0", "sensitivity:95",
             "sensitivity:nan", "specificity:0.9", "youden:1"],
)  # fmt: skip
def test_a_threshold_rule_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"youden or sensitivity:0\.95, not"):
        ThresholdRule.parse(text)


@pytest.mark.parametrize(("right", "withheld"), [(True, False), (False, True)])
def test_a_finding_is_withheld_by_the_images_that_show_it_alone(
    model: TrainedModel, seen: list[Prediction], *, right: bool, withheld: bool
) -> None:
    """Seven images show nothing, and nothing is drawn in them: a mean Dice of at least 7 / 8."""
    config = model.config.model_copy(update={"masks": ("Pneumothorax",)})
    shape = seen[0].counted.shape
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
        for number, one in enumerate(seen)
    ]
    heads_alone = {"anatomy": model.heads["anatomy"]}
    specs = calibrate(replace(model, config=config, heads=heads_alone), images)
    assert specs["anatomy"].labels[0].withheld is withheld


def _logits(mask: NDArray[np.bool_]) -> FloatArray:
    return np.where(mask, 6, -6)[None].astype(np.float32)


def test_scores_that_are_not_numbers_are_refused(
    model: TrainedModel, seen: list[Prediction]
) -> None:
    logits = np.full(2, np.nan, dtype=np.float32)
    broken = [replace(one, outputs=one.outputs | {"findings": {"logits": logits}}) for one in seen]
    with pytest.raises(ValueError, match="temperature: 16 of 16 scores are not finite"):
        calibrate(model, broken)
    with pytest.raises(InvalidVersion, match="`logits` is not finite"):
        evaluate(model, calibrate(model, seen), broken)


def test_without_a_box_or_a_mask_their_heads_have_no_figure(
    model: TrainedModel, specs: dict[str, HeadSpec], seen: list[Prediction]
) -> None:
    bare = [replace(one, masks={}, boxes={}) for one in seen]
    of_places = {name: specs[name] for name in ("anatomy", "boxes")}
    assert evaluate(model, of_places, bare) == ()


def test_an_empty_truth_counts_as_such_and_is_told_apart(
    model: TrainedModel, specs: dict[str, HeadSpec], seen: list[Prediction]
) -> None:
    nothing = np.zeros_like(seen[0].counted)
    some = [replace(seen[0], masks={"Left lung": nothing}), *seen[1:]]
    found = evaluate(model, {"anatomy": specs["anatomy"]}, some)
    metrics = {m.metric: m for m in found if m.label == "Left lung"}
    assert metrics["dice"].n == 8
    assert metrics["dice, where present"].n == 7
    assert metrics["dice"].value == pytest.approx(
        metrics["dice, where present"].value * 7 / 8, abs=1e-3
    )  # something was drawn in the empty one: 0


def test_another_split_than_test_never_sees_the_held_out_wordings(
    model: TrainedModel, seen: list[Prediction], monkeypatch: pytest.MonkeyPatch
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


def test_usual_radiographs_are_below_the_threshold_and_others_above(seen: list[Prediction]) -> None:
    usual = statistics(seen, seen)
    features = [s.features["global_features"][0] for s in seen]
    assert np.median([usual.score(f) for f in features]) < usual.threshold
    assert usual.score(features[0] + np.float32(100)) > usual.threshold


def test_statistics_need_only_what_a_thin_radiograph_keeps(seen: list[Prediction]) -> None:
    thin = [one.thin for one in seen]
    assert np.array_equal(statistics(thin, thin).mean, statistics(seen, seen).mean)
    assert not thin[0].outputs
    assert thin[0].counted.size == 0
