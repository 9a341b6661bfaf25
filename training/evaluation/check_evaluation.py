"""Evaluation of the checks on pictures that are changed before their preprocessing.

radiograph --as it is, mirrored, turned, inverted--> trunk, checks head -> probabilities
lateral views, outliers -------------------------------------'
    -> AUROC and sensitivity of each check, for each data set
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from radiograph.image import Radiograph
from radiograph.manifest import CHECK, HeadSpec, Metric
from radiograph.postprocess.activations import sigmoid
from radiograph.preprocess import preprocess
from radiograph.terminology.checks import Check
from training.config.finetune import FinetuneConfig
from training.data.checks.examples import changed
from training.data.checks.pictures import Change
from training.data.checks.sources import Source, sources
from training.data.rows.reader import Row
from training.evaluation.evaluators.estimates import Quantity, estimate
from training.evaluation.trained_model import TrainedModel
from training.metrics import Ranked, Statistic, share_right
from training.metrics.arrays import Float64Array
from training.progress import track

CHANGES: Mapping[Check, Change] = {
    Check.MIRRORED: Change(mirrored=True),
    Check.UPSIDE_DOWN: Change(turn=Check.UPSIDE_DOWN),
    Check.TURNED_LEFT: Change(turn=Check.TURNED_LEFT),
    Check.TURNED_RIGHT: Change(turn=Check.TURNED_RIGHT),
    Check.INVERTED: Change(inverted=True),
}
"""What is done to a sound radiograph so that a check should raise a warning."""
_LICENCES = ("open", "noncommercial")
MOST_ROWS = 400
"""Number of radiographs of each data set, evenly spread."""


Kind = Check | None
"""Check that should raise a warning; None for a sound radiograph."""


@dataclass(frozen=True)
class Scored:
    """Probabilities of the checks of one picture.

    Attributes:
        patient: patient, or number, of the picture.
        kind: check that should raise a warning, if any.
        probabilities: probability of each label of the head.
    """

    patient: str
    kind: Kind
    probabilities: Float64Array


def measure_checks(
    model: TrainedModel, specs: Mapping[str, HeadSpec], split: str
) -> tuple[Metric, ...]:
    """Return AUROC and sensitivity of each check, of every head of checks.

    Radiographs as they are count as negative. Outliers are compared with those of each data set.
    Rows of every licence class are used, as nothing is chosen by them.

    Args:
        model: the run.
        specs: calibrated heads by name; heads of other kinds are left out.
        split: split of the pictures.
    """
    return tuple(
        metric.model_copy(update={"split": split, "head": name})
        for name, spec in specs.items()
        if spec.kind == CHECK
        for metric in _measure(model, name, spec, split)
    )


def outliers_of(config: FinetuneConfig, split: str) -> dict[str, int]:
    """Return the number of pictures of each data set of outliers that are measured."""
    every = sources(config, split, _LICENCES) if config.checks else ()
    return {source.name: len(source.rows) for source in every if source.outlier}


def _measure(model: TrainedModel, head: str, spec: HeadSpec, split: str) -> Iterator[Metric]:
    """Yield the figures of one head."""
    every = list(sources(model.config, split, _LICENCES))
    outliers: list[Scored] = []
    for source in every:
        if source.outlier:
            found = list(_scored(model, head, source))
            yield from _figures(spec, source.name, found)
            outliers += found
    for source in every:
        if not source.outlier:
            yield from _figures(spec, source.name, [*_scored(model, head, source), *outliers])


def _scored(model: TrainedModel, head: str, source: Source) -> Iterator[Scored]:
    """Yield the pictures of one data set with their probabilities."""
    lateral = [row for row in source.rows if row.is_lateral]
    frontal = [row for row in source.rows if not row.is_lateral]
    step = -(-len(frontal) // MOST_ROWS) or 1
    for row in track([*frontal[::step], *lateral], f"checks on {source.name}"):
        if (radiograph := source.radiograph(row)) is not None:
            kinds = dict(_pictures(row, outlier=source.outlier))
            probabilities = _probabilities(model, head, radiograph, list(kinds.values()))
            for kind, of_picture in zip(kinds, probabilities, strict=True):
                yield Scored(row.patient_id, kind, of_picture)


def _pictures(row: Row, *, outlier: bool) -> Iterator[tuple[Kind, Change]]:
    """Yield what is measured of a row: which check should raise a warning, and the change."""
    if outlier or row.is_lateral:
        yield Check.OUT_OF_DOMAIN if outlier else Check.LATERAL, Change()
    else:
        yield None, Change()
        yield from CHANGES.items()


def _probabilities(
    model: TrainedModel, head: str, radiograph: Radiograph, changes: Sequence[Change]
) -> Float64Array:
    """Return the probabilities of the checks for each changed picture, changes x checks."""
    spec = model.config.preprocess
    images = np.stack([preprocess(changed(radiograph, change), spec)[0] for change in changes])
    return sigmoid(model.head_of_images(head, images)["logits"].astype(np.float64))


def _figures(spec: HeadSpec, data: str, scored: Sequence[Scored]) -> Iterator[Metric]:
    """Yield AUROC and sensitivity of each check that has pictures."""
    for column, label in enumerate(spec.labels):
        counted = [each for each in scored if each.kind in (None, label.name)]
        positive = np.array([each.kind == label.name for each in counted], dtype=bool)
        if label.withheld or not positive.any():
            continue
        scores = np.array([each.probabilities[column] for each in counted])
        called = scores >= label.threshold
        patients = [each.patient for each in counted]
        statistics: dict[str, Statistic] = {
            "auroc": Ranked(scores, positive, label.name).area,
            "sensitivity": partial(share_right, called, positive, positive),
        }
        for name, statistic in statistics.items():
            metric = estimate(patients, statistic, Quantity(data, CHECK, label.name, name))
            if np.isfinite(metric.value):
                yield metric
