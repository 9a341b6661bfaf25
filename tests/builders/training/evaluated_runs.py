"""The folder of a run as the commands `g2d evaluate` and `g2d export` leave it."""

from pathlib import Path

import numpy as np

from radiograph.manifest import Metric, Task
from training.evaluation.assessment import Assessment, RunFolder
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


def write_evaluated(model: TrainedModel, path: Path, metrics: tuple[Metric, ...] = ()) -> RunFolder:
    """Calibrate and export a run into a folder, with metrics that are made up."""
    folder = RunFolder(path)
    folder.path.mkdir(exist_ok=True)
    predictions = list(predict_split(model, "train", ("open",)))
    usual = statistics(predictions, predictions)
    np.savez_compressed(folder.statistics, mean=usual.mean, precision=usual.precision)
    assessment = Assessment(
        heads=calibrate(model, predictions),
        metrics=metrics,
        out_of_domain_threshold=usual.threshold,
        out_of_domain_rule=usual.threshold_rule,
        weights=model.digest,
    )
    folder.assessment.write_text(assessment.model_dump_json())
    write_export(export(model, folder.export))
    return folder
