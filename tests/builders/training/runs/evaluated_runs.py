"""The folder of a run as the commands `g2d evaluate` and `g2d export` leave it."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from radiograph.manifest import Metric, Task
from training.data.cache.row_counts import RowCounts, TableCounts, write_counts
from training.evaluation.assessment import (
    Assessment,
    RunFolder,
    heads_without_figure,
    read_assessment,
)
from training.evaluation.calibration.calibrate import calibrate
from training.evaluation.calibration.ood_statistics import statistics
from training.evaluation.predictions import predict_split
from training.evaluation.trained_model import TrainedModel
from training.export.onnx_export import export, write_export


def metric_of(value: float, low: float, name: str = "dice") -> Metric:
    """Return a metric of the left lung, by default its Dice."""
    return Metric(
        data="kermany_224", split="test", task=Task.SEGMENT, head="anatomy", label="Left lung",
        metric=name, value=value, low=low, high=1.0, n=8,
    )  # fmt: skip


def with_figures(model: TrainedModel, metrics: tuple[Metric, ...]) -> tuple[Metric, ...]:
    """Return metrics with one more for each head that has none."""
    missing = heads_without_figure(model.heads, metrics)
    usual = metric_of(0.5, 0.4, "made up")
    return (*metrics, *(usual.model_copy(update={"head": head}) for head in missing))


def write_made_up_counts(folder: RunFolder) -> None:
    """Write the numbers of eight training radiographs with synthetic text."""
    counts = TableCounts(
        rows={"train": 8}, own_text=0, synthetic_text=8, without_text=0, licences=("CC0-1.0",)
    )
    write_counts(folder.path, RowCounts(tables={"kermany_224": counts}, left_out={}))


def write_evaluated(model: TrainedModel, path: Path, metrics: tuple[Metric, ...] = ()) -> RunFolder:
    """Calibrate and export a run into a folder; metrics and numbers of rows are made up.

    A head that no metric is about gets one. A run is calibrated and exported once for all tests of
    a process, and copied from then on.
    """
    key = model.digest, model.config.model_dump_json()
    if key not in _PREPARED:
        _PREPARED[key] = TemporaryDirectory(prefix="evaluated_run_")
        _prepare(model, RunFolder(Path(_PREPARED[key].name)))
    shutil.copytree(_PREPARED[key].name, path, dirs_exist_ok=True)
    folder = RunFolder(path)
    assessment = read_assessment(folder)
    figures = {"metrics": with_figures(model, metrics)}
    folder.assessment.write_text(assessment.model_copy(update=figures).model_dump_json())
    return folder


_PREPARED: dict[tuple[str, str], "TemporaryDirectory[str]"] = {}
"""Folder of each run, by its weights and its configuration; removed when the process ends."""


def _prepare(model: TrainedModel, folder: RunFolder) -> None:
    predictions = list(predict_split(model, "train", ("open",)))
    usual = statistics(predictions, predictions)
    np.savez_compressed(folder.statistics, mean=usual.mean, precision=usual.precision)
    assessment = Assessment(
        heads=calibrate(model, predictions),
        metrics=(),
        out_of_domain_threshold=usual.threshold,
        out_of_domain_rule=usual.threshold_rule,
        weights=model.digest,
    )
    write_made_up_counts(folder)
    folder.assessment.write_text(assessment.model_dump_json())
    write_export(export(model, folder.export))
