"""Assessment of a run: its metrics, calibration and thresholds, kept in the run folder."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radiograph.errors import PublishRefused
from radiograph.manifest import HeadSpec, Metric
from radiograph.strict_model import StrictModel
from training.evaluation.calibration import YOUDEN, ThresholdRule, calibrate
from training.evaluation.evaluate import evaluate
from training.evaluation.ood_statistics import statistics
from training.evaluation.predictions import Prediction, predict_split
from training.evaluation.trained_model import TrainedModel, to_device_of_run
from training.refusal import RunRefused


class Assessment(StrictModel):
    """Choices made on the validation split, and metrics of the test split."""

    heads: dict[str, HeadSpec]
    metrics: tuple[Metric, ...]
    out_of_domain_threshold: float
    out_of_domain_rule: str
    weights: str = ""
    """Digest of the evaluated model; empty in assessments that did not record it."""


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
    """
    licences = to_device_of_run(model).config.data.licences
    valid: list[Prediction] = []
    specs = calibrate(model, _kept(predict_split(model, "valid", licences), valid), rule)
    train = predict_split(model, "train", licences, limit=250)
    in_domain = statistics([prediction.reduced for prediction in train], valid)
    test = predict_split(model, "test", ("open", "noncommercial"))
    assessment = Assessment(
        heads=specs,
        metrics=evaluate(model, specs, test),
        out_of_domain_threshold=in_domain.threshold,
        out_of_domain_rule=in_domain.threshold_rule,
        weights=model.digest,
    )
    np.savez_compressed(run.statistics, mean=in_domain.mean, precision=in_domain.precision)
    run.assessment.write_text(assessment.model_dump_json(indent=2))
    return assessment


def _kept(predictions: Iterable[Prediction], kept: list[Prediction]) -> Iterator[Prediction]:
    """Yield the predictions, and append to `kept` the part that statistics need."""
    for prediction in predictions:
        kept.append(prediction.reduced)
        yield prediction


def measure(model: TrainedModel, split: str, rule: ThresholdRule = YOUDEN) -> tuple[Metric, ...]:
    """Measure a run on a split by which choices may be made; nothing is written.

    Raises:
        RunRefused: the split is `test`, which `assess` measures once.
    """
    if split not in {"train", "valid"}:
        raise RunRefused(f"a split to choose by is train or valid, not {split!r}")
    to_device_of_run(model)
    specs = calibrate(model, predict_split(model, "valid", model.config.data.licences), rule)
    return evaluate(model, specs, predict_split(model, split, ("open", "noncommercial")), split)


def read_assessment(run: RunFolder) -> Assessment:
    """Read the assessment of a run.

    Raises:
        PublishRefused: the run was not evaluated.
    """
    if not run.assessment.is_file():
        raise PublishRefused(f"{run.path} was not evaluated: g2d evaluate {run.path}")
    return Assessment.model_validate_json(run.assessment.read_text())
