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


class Assessment(StrictModel):
    """What was chosen on the validation split and measured on the test split."""

    heads: dict[str, HeadSpec]
    metrics: tuple[Metric, ...]
    out_of_domain_threshold: float
    out_of_domain_rule: str
    weights: str = ""
    """Digest of the model that was evaluated; empty where that was not noted."""


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps what it made."""

    path: Path

    @property
    def assessment(self) -> Path:
        """Calibration and metrics."""
        return self.path / "assessment.json"

    @property
    def statistics(self) -> Path:
        """Mean and precision of the global features."""
        return self.path / "statistics.npz"

    @property
    def export(self) -> Path:
        """The exported graphs."""
        return self.path / "export"


def assess(model: TrainedModel, run: RunFolder, rule: ThresholdRule = YOUDEN) -> Assessment:
    """Calibrate on validation, measure on test, and write both into the run.

    Test rows of every licence class are measured on; nothing is trained or chosen on them.

    Args:
        model: the run; it computes where the run did.
        run: its folder.
        rule: of the findings' thresholds.
    """
    licences = to_device_of_run(model).config.data.licences
    valid: list[Prediction] = []
    specs = calibrate(model, _noted(predict_split(model, "valid", licences), valid), rule)
    usual = statistics(
        [one.thin for one in predict_split(model, "train", licences, limit=250)], valid
    )
    test = predict_split(model, "test", ("open", "noncommercial"))
    done = Assessment(
        heads=specs,
        metrics=evaluate(model, specs, test),
        out_of_domain_threshold=usual.threshold,
        out_of_domain_rule=usual.threshold_rule,
        weights=model.digest,
    )
    np.savez_compressed(run.statistics, mean=usual.mean, precision=usual.precision)
    run.assessment.write_text(done.model_dump_json(indent=2))
    return done


def _noted(images: Iterable[Prediction], notes: list[Prediction]) -> Iterator[Prediction]:
    """The images as they come; what statistics need of each is noted."""
    for one in images:
        notes.append(one.thin)
        yield one


def measure(model: TrainedModel, split: str, rule: ThresholdRule = YOUDEN) -> tuple[Metric, ...]:
    """Metrics on a split to choose by, calibrated on validation; nothing is written.

    Raises:
        ValueError: the split is `test`, which `assess` measures once.
    """
    if split not in {"train", "valid"}:
        raise ValueError(f"a split to choose by is train or valid, not {split!r}")
    to_device_of_run(model)
    specs = calibrate(model, predict_split(model, "valid", model.config.data.licences), rule)
    return evaluate(model, specs, predict_split(model, split, ("open", "noncommercial")), split)


def read_assessment(run: RunFolder) -> Assessment:
    """What `assess` wrote.

    Raises:
        PublishRefused: the run was not evaluated.
    """
    if not run.assessment.is_file():
        raise PublishRefused(f"{run.path} was not evaluated: g2d evaluate {run.path}")
    return Assessment.model_validate_json(run.assessment.read_text())
