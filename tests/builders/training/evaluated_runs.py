"""The folder of a run as the commands `g2d evaluate` and `g2d export` leave it."""

from pathlib import Path

import numpy as np

from radiograph.manifest import Metric, Task
from training.data.cache.row_counts import RowCounts, TableCounts, write_counts
from training.evaluation.assessment import Assessment, RunFolder, heads_without_figure
from training.evaluation.calibration import calibrate
from training.evaluation.ood_statistics import statistics
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

    A head that no metric is about gets one.
    """
    folder = RunFolder(path)
    folder.path.mkdir(exist_ok=True)
    predictions = list(predict_split(model, "train", ("open",)))
    usual = statistics(predictions, predictions)
    np.savez_compressed(folder.statistics, mean=usual.mean, precision=usual.precision)
    assessment = Assessment(
        heads=calibrate(model, predictions),
        metrics=with_figures(model, metrics),
        out_of_domain_threshold=usual.threshold,
        out_of_domain_rule=usual.threshold_rule,
        weights=model.digest,
    )
    write_made_up_counts(folder)
    folder.assessment.write_text(assessment.model_dump_json())
    write_export(export(model, folder.export))
    return folder
