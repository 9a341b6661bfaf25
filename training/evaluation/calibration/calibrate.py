"""Calibration of a run: temperature and thresholds, chosen on the validation split.

predictions of valid --add--> calibration of each head, by its kind --spec--> calibrated HeadSpec
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry.geometry import Geometry
from radiograph.manifest import HeadSpec, Label, Task
from radiograph.postprocess.activations import sigmoid
from radiograph.postprocess.boxes import iou
from radiograph.postprocess.heads import mask_at_source
from training.config.description import ORGANS
from training.evaluation.calibration.check_thresholds import CheckCalibration
from training.evaluation.calibration.phrase_calibration import PhraseCalibration
from training.evaluation.predictions import EvaluatedHead, Prediction
from training.evaluation.trained_model import TrainedModel
from training.metrics import (
    BoxesOfImage,
    Counts,
    Ranked,
    Statistic,
    balanced_threshold,
    bootstrap,
    dice,
    fit_temperature,
    sensitivity_threshold,
    youden_threshold,
)
from training.metrics.arrays import FloatArray
from training.refusal import RunRefused

DETECT_IOU = {True: 0.5, False: 0.3}
"""IoU from which a predicted box counts as correct, of an organ or else of a finding, whose
annotated boxes differ more between readers."""
USABLE_F1 = 0.2
"""Smallest validation F1 of a box label; below it the label is withheld."""
USABLE_DICE = 0.8
"""Smallest validation Dice of an organ's mask; below it the mask is withheld."""
USABLE_LESION_DICE = 0.3
"""Smallest Dice of a finding's mask, on the validation images that show it; else it is withheld."""
_HIGHEST = 0.9999
"""Highest threshold of a finding that is answered; 1 withholds it."""


@dataclass(frozen=True)
class ThresholdRule:
    """Rule that chooses the threshold of a finding.

    Attributes:
        sensitivity: the highest threshold that still reaches it is chosen; None maximises Youden's
            index, a mean over the data sets that have images with and without the finding.
        least_auroc: a finding is withheld unless the 95 % interval of its AUROC on the validation
            split, within the data sets, lies above it; None withholds none.
    """

    sensitivity: float | None = None
    least_auroc: float | None = None

    @classmethod
    def parse(cls, text: str) -> "ThresholdRule":
        """Parse `youden`, or a sensitivity such as `sensitivity:0.95`.

        Raises:
            RunRefused: the text is neither.
        """
        name, _, value = text.partition(":")
        if text == "youden":
            return cls()
        try:
            target = float(value)
        except ValueError:
            target = 0.0
        if name != "sensitivity" or not 0 < target <= 1:
            raise RunRefused(f"a threshold rule is youden or sensitivity:0.95, not {text!r}")
        return cls(target)

    def choose(
        self,
        scores: NDArray[np.float64],
        positive: NDArray[np.bool_],
        tables: NDArray[np.str_] | None = None,
    ) -> float:
        """Return the threshold, to four digits; 0.5 if there is one class only.

        Args:
            scores: N probabilities of the images of which the finding is known.
            positive: N bool, the truth.
            tables: data set of each image; a large set weighs no more than a small one. None
                counts all as one set.
        """
        if self.sensitivity is None:
            return min(round(_youden_over_sets(scores, positive, tables), 4), _HIGHEST)
        # rounded down: rounded up, it could miss the very image that it was chosen by
        exact = sensitivity_threshold(scores, positive, self.sensitivity)
        return min(float(np.floor(exact * 1e4) / 1e4), _HIGHEST)

    def withholds(
        self,
        scores: NDArray[np.float64],
        positive: NDArray[np.bool_],
        patients: Sequence[str],
        tables: NDArray[np.str_],
    ) -> bool:
        """Return whether a finding is too poor to be answered.

        Args:
            scores: N probabilities of the images of which the finding is known.
            positive: N bool, the truth.
            patients: patient of each image; patients are resampled, not images.
            tables: data set of each image. Images are ranked within their set, because a score
                that tells the sets apart would rank a finding that is frequent in one of them.
        """
        if self.least_auroc is None:
            return False
        if positive.all() or not positive.any():
            return True
        area = _area_within_sets(scores, positive, tables)
        return not bootstrap(area, patients).low > self.least_auroc

    def words(self, one_class: Sequence[str]) -> str:
        """Describe the rule for the manifest; labels in `one_class` have no chosen threshold."""
        choice = "Youden's index, a mean over the data sets"
        if self.sensitivity is not None:
            choice = f"the highest of sensitivity {self.sensitivity:g}"
        text = f"{choice}, for each label, on the validation split"
        if self.least_auroc is not None:
            text += (
                "; 1, withheld, unless the interval of the AUROC within the data sets lies above "
                f"{self.least_auroc:g}"
            )
        if one_class:
            text += f"; 0.5 where that has one class only: {', '.join(one_class)}"
        return text


def _youden_over_sets(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], tables: NDArray[np.str_] | None
) -> float:
    """Return the score of the highest mean of Youden's index over the sets with both classes."""
    sets = [] if tables is None else [tables == name for name in np.unique(tables)]
    both = [rows for rows in sets if positive[rows].any() and not positive[rows].all()]
    if not both:
        return youden_threshold(scores, positive)
    present = [scores[rows & positive] for rows in both]
    return balanced_threshold(present, [scores[rows & ~positive] for rows in both])


def _area_within_sets(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], tables: NDArray[np.str_]
) -> Statistic:
    """Return the mean AUROC of the data sets, each weighted by its images with the finding."""
    parts = [
        (rows, Ranked(scores[rows], positive[rows]), positive[rows])
        for name in np.unique(tables)
        for rows in [np.flatnonzero(tables == name)]
    ]

    def area(counts: Counts) -> float:
        areas = np.array([ranked.area(counts[rows]) for rows, ranked, _ in parts])
        weights = np.array([float(counts[rows] @ shown) for rows, _, shown in parts])
        defined = np.isfinite(areas)
        total = weights[defined].sum()
        return float(areas[defined] @ weights[defined] / total) if total else float("nan")

    return area


YOUDEN = ThresholdRule()


class _Calibration(Protocol):
    """Calibration of one head."""

    def add(self, prediction: Prediction) -> None:
        """Keep the scores of one validation radiograph."""

    def spec(self) -> HeadSpec:
        """Return the manifest entry of the head with the chosen temperature and thresholds."""


def calibrate(
    model: TrainedModel, valid: Iterable[Prediction], rule: ThresholdRule = YOUDEN
) -> dict[str, HeadSpec]:
    """Return the manifest entries of the heads, with every choice made on the validation split.

    Args:
        model: the run.
        valid: radiographs of the validation split; they are read once, and none is kept.
        rule: rule for the thresholds of the findings.
    """
    specs = specs_of(model)
    calibrations = {
        name: _calibration(EvaluatedHead(model, name, spec), rule) for name, spec in specs.items()
    }
    for prediction in valid:
        for calibration in calibrations.values():
            calibration.add(prediction)
    return {name: calibration.spec() for name, calibration in calibrations.items()}


def _calibration(head: EvaluatedHead, rule: ThresholdRule) -> _Calibration:
    """Return the calibration for the kind of a head."""
    match head.spec.kind:
        case Task.CLASSIFY:
            return _FindingCalibration(head, rule)
        case Task.SEGMENT:
            return _MaskCalibration(head)
        case Task.DETECT:
            return _BoxCalibration(head)
        case Task.GROUND:
            return PhraseCalibration(head)
        case "check":
            return CheckCalibration(head)


def specs_of(model: TrainedModel) -> dict[str, HeadSpec]:
    """Return the manifest entries of the heads before calibration, by their names."""
    return {name: head.spec(model.config) for name, head in model.heads.items()}


def _with_thresholds(head: HeadSpec, chosen: Sequence[float], rule: str) -> HeadSpec:
    labels = tuple(
        label.model_copy(update={"threshold": threshold})
        for label, threshold in zip(head.labels, chosen, strict=True)
    )
    return head.model_copy(update={"labels": labels, "threshold_rule": rule})


class _FindingCalibration:
    """One temperature for all labels, then a threshold for each label by the rule."""

    def __init__(self, head: EvaluatedHead, rule: ThresholdRule) -> None:
        self._head, self._rule = head, rule
        self._logits: list[FloatArray] = []
        self._truths: list[Mapping[str, bool]] = []
        self._patients: list[str] = []
        self._tables: list[str] = []

    def add(self, prediction: Prediction) -> None:
        self._patients.append(prediction.row.patient_id)
        self._tables.append(prediction.row.table)
        self._logits.append(self._head.outputs(prediction)["logits"])
        self._truths.append(prediction.row.findings)

    def spec(self) -> HeadSpec:
        names = [label.name for label in self._head.spec.labels]
        shape = (len(self._truths), len(names))  # images x labels, also of an empty split
        logits = np.array(self._logits, dtype=np.float64).reshape(shape)
        known = np.array([[n in t for n in names] for t in self._truths], dtype=bool)
        positive = np.array([[t.get(n, False) for n in names] for t in self._truths], dtype=bool)
        known, positive = known.reshape(shape), positive.reshape(shape)
        temperature = fit_temperature(logits[known], positive[known])
        probability = sigmoid(logits, temperature)
        columns = [(probability[rows, k], positive[rows, k]) for k, rows in enumerate(known.T)]
        patients = [[self._patients[i] for i in np.flatnonzero(rows)] for rows in known.T]
        tables = np.array(self._tables, dtype=np.str_)
        chosen = [
            1.0
            if self._rule.withholds(*column, of, tables[rows])
            else self._rule.choose(*column, tables[rows])
            for column, of, rows in zip(columns, patients, known.T, strict=True)
        ]
        one_class = [
            name
            for name, (_, true) in zip(names, columns, strict=True)
            if (true.all() or not true.any()) and self._rule.least_auroc is None
        ]
        fitted = self._head.spec.model_copy(update={"temperature": temperature})
        return _with_thresholds(fitted, chosen, self._rule.words(one_class))


class _MaskCalibration:
    """For each label the threshold of the best mean Dice over all annotated images.

    The masks are those that would be served: cleaned, where the label asks for it.
    """

    GRID = np.arange(0.2, 0.81, 0.05)
    RULE = "best mean Dice on the validation split, for each label; 1.0, withheld, where poor"

    def __init__(self, head: EvaluatedHead) -> None:
        self._head = head
        names = [label.name for label in head.spec.labels]
        self._scores: dict[str, list[list[float]]] = {name: [] for name in names}
        self._present: dict[str, list[bool]] = {name: [] for name in names}
        self._organs: set[str] = set()

    def add(self, prediction: Prediction) -> None:
        if not prediction.masks:
            return
        self._organs.update(prediction.row.organs)
        logits, counted = self._head.outputs(prediction)["logits"], prediction.counted
        for k, label in enumerate(self._head.spec.labels):
            if label.name in prediction.masks:
                true = prediction.masks[label.name]
                probability, place = sigmoid(logits[k]), prediction.geometry
                masks = (_served(probability, label, cut, place) for cut in self.GRID)
                scores = [dice(mask, true, counted) for mask in masks]
                self._scores[label.name].append(scores)
                self._present[label.name].append(bool((true & counted).any()))

    def spec(self) -> HeadSpec:
        best = [self._best(label.name) for label in self._head.spec.labels]
        return _with_thresholds(self._head.spec, best, self.RULE)

    def _best(self, label: str) -> float:
        """Return the best threshold, or 1.0 if the masks of the label are not usable."""
        scores, present = np.array(self._scores[label]), np.array(self._present[label])
        if not present.any():
            return 1.0
        best = int(np.argmax(scores.mean(axis=0)))
        usable = USABLE_DICE if label in self._organs else USABLE_LESION_DICE
        return round(float(self.GRID[best]), 2) if scores[present, best].mean() >= usable else 1.0


def _served(
    probability: NDArray[np.float32], label: Label, threshold: float, geometry: Geometry
) -> NDArray[np.bool_]:
    """Return the mask that would be served of a label if it had another threshold."""
    changed = label.model_copy(update={"threshold": threshold})
    return mask_at_source(probability, changed, geometry)[0]


class _BoxCalibration:
    """For each label the threshold of the best F1 at IoU 0.5 (organs) or 0.3 (findings).

    A label below `USABLE_F1` gets the threshold 1.0, which no score reaches: boxes that are rarely
    right must not be shown.
    """

    GRID = np.arange(0.1, 0.91, 0.05)
    RULE = (
        "best F1 at IoU 0.5 (organs) or 0.3 (findings) on the validation split, for each label; "
        "1.0 where that is poor"
    )

    def __init__(self, head: EvaluatedHead) -> None:
        self._head = head
        self._boxes: dict[str, list[BoxesOfImage]] = {x.name: [] for x in head.spec.labels}

    def add(self, prediction: Prediction) -> None:
        for label, boxes in self._head.detections(prediction).items():
            self._boxes[label].append(boxes)

    def spec(self) -> HeadSpec:
        best = [self._best(label.name) for label in self._head.spec.labels]
        return _with_thresholds(self._head.spec, best, self.RULE)

    def _best(self, label: str) -> float:
        """Return the best threshold, or 1.0 if the boxes of the label are not usable."""
        iou_from = DETECT_IOU[label in ORGANS]
        scores = [_f1(self._boxes[label], cut, iou_from) for cut in self.GRID]
        best = int(np.argmax(scores))
        return round(float(self.GRID[best]), 2) if scores[best] >= USABLE_F1 else 1.0


def _f1(images: Sequence[BoxesOfImage], threshold: float, iou_from: float) -> float:
    """Return the F1 of the boxes whose score reaches a threshold; each true box is found once."""
    hits = predicted = true = 0
    for image in images:
        kept = [b for s, b in zip(image.scores, image.predicted, strict=True) if s >= threshold]
        free = list(image.truth)
        for box in kept:
            match = next((t for t in free if iou(box, t) >= iou_from), None)
            if match is not None:
                free.remove(match)
                hits += 1
        predicted, true = predicted + len(kept), true + len(image.truth)
    return 2 * hits / (predicted + true) if predicted + true else 0.0
