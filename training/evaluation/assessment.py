"""Assessment of a run: its metrics, calibration and thresholds, kept in the run folder."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from radiograph.errors import PublishRefused
from radiograph.manifest import HeadSpec, Metric
from radiograph.strict_model import StrictModel
from training.data.cache.row_counts import ROWS, RowCounts
from training.data.rows.dataset_files import DataError
from training.evaluation.calibration.calibrate import YOUDEN, ThresholdRule, calibrate
from training.evaluation.calibration.ood_statistics import statistics
from training.evaluation.check_evaluation import measure_checks, outliers_of
from training.evaluation.evaluate import evaluate
from training.evaluation.predictions import Prediction, predict_split
from training.evaluation.trained_model import TrainedModel, to_device_of_run
from training.refusal import RunRefused

Content = TypeVar("Content", bound=BaseModel)


class Assessment(StrictModel):
    """Choices made on the validation split, and metrics of the test split."""

    heads: dict[str, HeadSpec]
    metrics: tuple[Metric, ...]
    out_of_domain_threshold: float
    out_of_domain_rule: str
    weights: str = ""
    """Digest of the evaluated model; empty in assessments that did not record it."""
    measured: dict[str, int] = Field(default_factory=dict)
    """Number of test images of each data set; empty in assessments that did not record it."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of the files in a run's folder."""

    path: Path

    @property
    def assessment(self) -> Path:
        """File with calibration and metrics."""
        return self.path / "assessment.json"

    @property
    def statistics(self) -> Path:
        """File with mean and precision of the global features."""
        return self.path / "statistics.npz"

    @property
    def rows(self) -> Path:
        """File with the numbers of the radiographs that the run read."""
        return self.path / ROWS

    @property
    def export(self) -> Path:
        """Folder with the exported graphs."""
        return self.path / "export"


def assess(model: TrainedModel, run: RunFolder, rule: ThresholdRule = YOUDEN) -> Assessment:
    """Calibrate a run on its validation split, measure it on test, and write both into its folder.

    Test rows of every licence class are used; nothing is trained or chosen on them.

    Args:
        model: the run; it is moved to the device that the run used.
        run: folder of the run.
        rule: rule for the thresholds of the findings.

    Raises:
        DataError: a head has no figure, for want of test images; nothing is written.
    """
    licences = to_device_of_run(model).config.data.licences
    valid: list[Prediction] = []
    specs = calibrate(model, _kept(predict_split(model, "valid", licences), valid), rule)
    train = predict_split(model, "train", licences, limit=250)
    in_domain = statistics([prediction.reduced for prediction in train], valid)
    measured: Counter[str] = Counter()
    test = _counted(predict_split(model, "test", ("open", "noncommercial")), measured)
    metrics = (*evaluate(model, specs, test), *measure_checks(model, specs, "test"))
    measured.update(outliers_of(model.config, "test"))
    _refuse_without_figure(specs, metrics, "test")
    assessment = Assessment(
        heads=specs,
        metrics=metrics,
        out_of_domain_threshold=in_domain.threshold,
        out_of_domain_rule=in_domain.threshold_rule,
        weights=model.digest,
        measured=dict(measured),
    )
    np.savez_compressed(run.statistics, mean=in_domain.mean, precision=in_domain.precision)
    run.assessment.write_text(assessment.model_dump_json(indent=2))
    return assessment


def _kept(predictions: Iterable[Prediction], kept: list[Prediction]) -> Iterator[Prediction]:
    """Yield the predictions, and append to `kept` the part that statistics need."""
    for prediction in predictions:
        kept.append(prediction.reduced)
        yield prediction


def _counted(predictions: Iterable[Prediction], counts: Counter[str]) -> Iterator[Prediction]:
    """Yield the predictions, and count them by data set."""
    for prediction in predictions:
        counts[prediction.row.table] += 1
        yield prediction


def _refuse_without_figure(
    heads: Mapping[str, HeadSpec], metrics: Sequence[Metric], split: str
) -> None:
    """Check that every head has a figure.

    Raises:
        DataError: one has none; the message names it and its labels.
    """
    without = {name: heads[name] for name in heads_without_figure(heads, metrics)}
    if without:
        named = "; ".join(
            f"{name} ({', '.join(label.name for label in head.labels) or head.method})"
            for name, head in without.items()
        )
        raise DataError(
            f"no {split} image has what these heads are measured by, so that they have no figure: "
            f"{named}"
        )


def heads_without_figure(heads: Iterable[str], metrics: Sequence[Metric]) -> list[str]:
    """Return the heads that no metric is about."""
    measured = {metric.head for metric in metrics}
    return [name for name in heads if name not in measured]


def measure(model: TrainedModel, split: str, rule: ThresholdRule = YOUDEN) -> tuple[Metric, ...]:
    """Measure a run on a split by which choices may be made; nothing is written.

    Raises:
        RunRefused: the split is `test`, which `assess` measures once.
        DataError: a head has no figure.
    """
    if split not in {"train", "valid"}:
        raise RunRefused(f"a split to choose by is train or valid, not {split!r}")
    to_device_of_run(model)
    specs = calibrate(model, predict_split(model, "valid", model.config.data.licences), rule)
    predictions = predict_split(model, split, ("open", "noncommercial"))
    figures = evaluate(model, specs, predictions, split)
    metrics = (*figures, *measure_checks(model, specs, split))
    _refuse_without_figure(specs, metrics, split)
    return metrics


def digest_of(heads: Mapping[str, HeadSpec]) -> str:
    """Return the SHA-256 of the calibrated heads, on which the figures of a variant depend."""
    content = {name: heads[name].model_dump_json() for name in sorted(heads)}
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def read_assessment(run: RunFolder) -> Assessment:
    """Read the assessment of a run.

    Raises:
        PublishRefused: the run was not evaluated, or the file is damaged.
    """
    if not run.assessment.is_file():
        raise PublishRefused(f"{run.path} was not evaluated: g2d evaluate {run.path}")
    return _parsed(Assessment, run.assessment, f"g2d evaluate {run.path}")


def read_counts(run: RunFolder) -> RowCounts:
    """Read the numbers of the radiographs that a run read.

    Raises:
        PublishRefused: the run did not record them, or the file is damaged.
    """
    remedy = (
        f"`g2d finetune` of its configuration with --out {run.path} writes it and trains no further"
    )
    if not run.rows.is_file():
        raise PublishRefused(f"{run.path} has no {ROWS}: {remedy}")
    return _parsed(RowCounts, run.rows, remedy)


def _parsed(kind: type[Content], file: Path, remedy: str) -> Content:
    """Return the content of a file of a run.

    Raises:
        PublishRefused: the file is cut off, or was written by another version.
    """
    try:
        return kind.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise PublishRefused(f"{file} is damaged or of another version: {remedy}") from error
