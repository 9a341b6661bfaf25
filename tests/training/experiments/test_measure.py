"""The figure that a column of a table takes from an evaluation."""

import pytest

from radiograph.manifest import Metric, Task
from tests.builders.training.sets import tiny_tables
from training.config.experiments import Column, TablesConfig
from training.config.experiments import Task as TableTask
from training.config.run import Protocol
from training.experiments.measure import NotMeasured, asks_prompts, figure
from training.experiments.plan import Cell
from training.experiments.result_store import Measured


def _metric(label: str, value: float, name: str) -> Metric:
    return Metric(
        data="siim", split="test", task=Task.SEGMENT, label=label, metric=name,
        value=value, low=0.7, high=0.9, n=100,
    )  # fmt: skip


def _task(*labels: str) -> TableTask:
    tables = TablesConfig.model_validate(tiny_tables.recipes())
    return tables.tasks["lungs"].model_copy(update={"data": "siim", "labels": labels})


def _figure(
    metrics: list[Metric],
    task: TableTask,
    metric: str,
    protocol: Protocol = "sound",
    label: str | None = None,
) -> Measured:
    cell = Cell("lungs", "random", protocol)
    return figure(metrics, task, cell, Column(task="lungs", metric=metric, title="", label=label))


def test_the_figure_of_several_labels_is_their_mean_without_an_interval() -> None:
    metrics = [_metric(label, value, "dice") for label, value in {"a": 0.5, "b": 0.75}.items()]
    metrics += [_metric("c", 0.1, "dice"), _metric("a", 0.1, "iou")]
    assert _figure(metrics, _task("a", "b"), "dice") == Measured(0.625, None, None, 100)
    assert _figure(metrics, _task("b"), "dice") == Measured(0.75, 0.7, 0.9, 100)
    with pytest.raises(NotMeasured, match="evaluation gave no map of a, b"):
        _figure(metrics, _task("a", "b"), "map")


def test_a_column_may_ask_for_one_label() -> None:
    metrics = [_metric("a", 0.5, "dice"), _metric("both", 0.25, "dice")]
    found = _figure(metrics, _task("a", "b"), "dice", label="both")
    assert found == Measured(0.25, 0.7, 0.9, 100)


def test_several_findings_have_the_figure_of_all_together() -> None:
    metrics = [_metric("a", 0.1, "accuracy"), _metric("b", 0.2, "accuracy")]
    metrics += [_metric("all findings", 0.8, "argmax accuracy")]
    assert _figure(metrics, _task("a", "b"), "accuracy") == Measured(0.8, 0.7, 0.9, 100)
    assert _figure(metrics, _task("a"), "accuracy").value == 0.1
    with pytest.raises(NotMeasured, match="no macro auroc of a, b"):
        _figure(metrics, _task("a", "b"), "auroc")


def test_trained_and_zero_shot_maps_have_different_metrics() -> None:
    grounded = {"kind": "ground", "recipe": "segment"}
    trained = _task("left lung").model_copy(update=grounded)
    untrained = trained.model_copy(update={"recipe": None})
    metrics = [_metric("left lung", 0.9, "pointing (aligned)")]
    metrics += [_metric("left lung", 0.1, "pointing (zero_shot)")]
    metrics += [_metric("Lung opacity", 0.3, "pointing")]
    assert _figure(metrics, trained, "pointing").value == 0.9
    assert _figure(metrics, untrained, "pointing").value == 0.1
    assert _figure(metrics, untrained, "pointing", label="Lung opacity").value == 0.3


@pytest.mark.parametrize(
    ("labels", "label", "prompts"),
    [
        (("left lung", "pneumonia"), None, False),
        (("pneumonia",), "boxes of findings", False),
        (("pneumonia",), "Lung opacity", True),
        (("Pneumothorax",), None, True),
        ((), None, True),
    ],
)
def test_prompts_are_measured_only_where_a_column_is_about_them(
    labels: tuple[str, ...], label: str | None, prompts: bool
) -> None:
    task = _task(*labels)
    column = Column(task="lungs", metric="pointing", title="", label=label)
    assert asks_prompts(task, [column]) is prompts


def test_the_published_protocol_has_its_own_way_of_measuring() -> None:
    metrics = [_metric("a", 0.5, "dice"), _metric("a", 0.75, "dice (mgca)")]
    metrics += [_metric("a", 0.8, "auroc")]
    assert _figure(metrics, _task("a"), "dice", "sound").value == 0.5
    assert _figure(metrics, _task("a"), "dice", "mgca") == Measured(0.75, None, None, 100)
    assert _figure(metrics, _task("a"), "auroc", "mgca") == Measured(0.8, 0.7, 0.9, 100)
    with pytest.raises(NotMeasured, match=r"no map \(mgca\) of a"):
        _figure([*metrics, _metric("a", 0.4, "map")], _task("a"), "map", "mgca")
