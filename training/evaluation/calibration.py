"""Calibrate a run: what the manifest says beside the weights, chosen on the validation split.

calibrate   temperature and thresholds -> HeadSpecs, by a rule: Youden's index or a sensitivity
statistics  what usual radiographs look like (training split) -> out-of-domain score
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from radiograph.manifest import HeadSpec, Task
from radiograph.postprocess.activations import sigmoid
from radiograph.postprocess.boxes import iou
from training.data.rows.labels import truth
from training.data.rows.masks import ORGANS
from training.evaluation.predictions import Prediction, detections, head_output
from training.evaluation.trained_model import TrainedModel
from training.metrics import (
    BoxesOfImage,
    dice,
    fit_temperature,
    sensitivity_threshold,
    youden_threshold,
)
from training.metrics.arrays import FloatArray

DETECT_IOU = 0.5
USABLE_F1 = 0.3
"""A box label that stays below it on validation is withheld."""
USABLE_DICE = 0.8
"""A mask of an organ that stays below it on validation is withheld."""
USABLE_LESION_DICE = 0.3
"""A mask of a finding that stays below it on the validation images that show it is withheld."""


@dataclass(frozen=True)
class ThresholdRule:
    """How the threshold of a finding is chosen.

    Attributes:
        sensitivity: that the highest such threshold still reaches; None is Youden's index.
    """

    sensitivity: float | None = None

    @classmethod
    def parse(cls, text: str) -> "ThresholdRule":
        """`youden`, or `sensitivity:0.95`.

        Raises:
            ValueError: it is neither.
        """
        name, _, value = text.partition(":")
        if text == "youden":
            return cls()
        try:
            target = float(value)
        except ValueError:
            target = 0.0
        if name != "sensitivity" or not 0 < target <= 1:
            raise ValueError(f"a threshold rule is youden or sensitivity:0.95, not {text!r}")
        return cls(target)

    def choose(self, scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
        """The threshold, to four digits; 0.5 with one class only."""
        if self.sensitivity is None:
            return round(youden_threshold(scores, positive), 4)
        # downwards: a threshold that is rounded up may miss the image that it was chosen by
        exact = sensitivity_threshold(scores, positive, self.sensitivity)
        return float(np.floor(exact * 1e4) / 1e4)

    def words(self, one_class: Sequence[str]) -> str:
        """For the manifest; `one_class` are the labels that could not be chosen for."""
        how = "Youden's index"
        if self.sensitivity is not None:
            how = f"the highest of sensitivity {self.sensitivity:g}"
        told = f"{how}, for each label, on the validation split"
        if one_class:
            told += f"; 0.5 where that has one class only: {', '.join(one_class)}"
        return told


YOUDEN = ThresholdRule()


class _Calibration(Protocol):
    """What the validation split says about one head."""

    def add(self, seen: Prediction) -> None:
        """Keep what one radiograph says."""

    def head(self) -> HeadSpec:
        """The head with what was chosen."""


def calibrate(
    model: TrainedModel, valid: Iterable[Prediction], rule: ThresholdRule = YOUDEN
) -> dict[str, HeadSpec]:
    """The heads as the manifest describes them; what is chosen, is chosen on `valid`.

    Args:
        model: the run.
        valid: the radiographs of the validation split; each is asked for once, none is kept.
        rule: of the findings' thresholds.
    """
    specs = specs_of(model)
    calibrations: dict[str, _Calibration] = {
        name: _CALIBRATIONS[spec.kind](model, (name, spec), rule)
        for name, spec in specs.items()
        if spec.kind in _CALIBRATIONS
    }
    for seen in valid:
        for calibration in calibrations.values():
            calibration.add(seen)
    return specs | {name: calibration.head() for name, calibration in calibrations.items()}


def specs_of(model: TrainedModel) -> dict[str, HeadSpec]:
    """Return the manifest entries of the heads before calibration, by their names."""
    return {name: head.spec(model.config) for name, head in model.heads.items()}


def _with_thresholds(head: HeadSpec, chosen: Sequence[float], rule: str) -> HeadSpec:
    labels = tuple(
        label.model_copy(update={"threshold": threshold})
        for label, threshold in zip(head.labels, chosen, strict=True)
    )
    return head.model_copy(update={"labels": labels, "threshold_rule": rule})


class _Findings:
    """Temperature over all labels, then a threshold for each by the rule."""

    def __init__(
        self, model: TrainedModel, head: tuple[str, HeadSpec], rule: ThresholdRule
    ) -> None:
        self._model, self._rule = model, rule
        self._name, self._head = head
        self._logits: list[FloatArray] = []
        self._truths: list[Mapping[str, bool]] = []

    def add(self, seen: Prediction) -> None:
        self._logits.append(head_output(self._model, self._name, seen)["logits"])
        self._truths.append(truth(seen.row))

    def head(self) -> HeadSpec:
        names = [label.name for label in self._head.labels]
        shape = (len(self._truths), len(names))
        logits = np.array(self._logits, dtype=np.float64).reshape(shape)
        known = np.array([[n in t for n in names] for t in self._truths], dtype=bool)
        positive = np.array([[t.get(n, False) for n in names] for t in self._truths], dtype=bool)
        known, positive = known.reshape(shape), positive.reshape(shape)
        temperature = fit_temperature(logits[known], positive[known])
        probability = sigmoid(logits, temperature)
        columns = [(probability[rows, k], positive[rows, k]) for k, rows in enumerate(known.T)]
        chosen = [self._rule.choose(*column) for column in columns]
        one_class = [
            name
            for name, (_, true) in zip(names, columns, strict=True)
            if true.all() or not true.any()
        ]
        fitted = self._head.model_copy(update={"temperature": temperature})
        return _with_thresholds(fitted, chosen, self._rule.words(one_class))


class _Masks:
    """For each label the threshold of best mean Dice over all annotated images."""

    GRID = np.arange(0.2, 0.81, 0.05)
    RULE = "best mean Dice on the validation split, for each label; 1.0, withheld, where poor"

    def __init__(
        self,
        model: TrainedModel,
        head: tuple[str, HeadSpec],
        rule: ThresholdRule,  # noqa: ARG002 - for findings
    ) -> None:
        self._model = model
        self._name, self._head = head
        names = [label.name for label in self._head.labels]
        self._scores: dict[str, list[list[float]]] = {name: [] for name in names}
        self._present: dict[str, list[bool]] = {name: [] for name in names}

    def add(self, seen: Prediction) -> None:
        if not seen.masks:
            return
        logits = head_output(self._model, self._name, seen)["logits"]
        for k, label in enumerate(self._head.labels):
            if label.name in seen.masks:
                probability = sigmoid(logits[k]).astype(np.float32)
                inside, true = seen.geometry.map_to_source(probability), seen.masks[label.name]
                scores = [dice(inside >= cut, true, seen.counted) for cut in self.GRID]
                self._scores[label.name].append(scores)
                self._present[label.name].append(bool((true & seen.counted).any()))

    def head(self) -> HeadSpec:
        return _with_thresholds(
            self._head, [self._best(x.name) for x in self._head.labels], self.RULE
        )

    def _best(self, label: str) -> float:
        scores, present = np.array(self._scores[label]), np.array(self._present[label])
        if not present.any():
            return 1.0
        best = int(np.argmax(scores.mean(axis=0)))
        usable = USABLE_DICE if label in ORGANS else USABLE_LESION_DICE
        return round(float(self.GRID[best]), 2) if scores[present, best].mean() >= usable else 1.0


class _Boxes:
    """For each label the threshold of best F1 at IoU 0.5.

    A label that stays below `USABLE_F1` gets 1.0, which no score reaches: a box that is
    rarely right must not be shown.
    """

    GRID = np.arange(0.1, 0.91, 0.05)
    RULE = "best F1 at IoU 0.5 on the validation split, for each label; 1.0 where that is poor"

    def __init__(
        self,
        model: TrainedModel,
        head: tuple[str, HeadSpec],
        rule: ThresholdRule,  # noqa: ARG002 - for findings
    ) -> None:
        self._model = model
        self._name, self._head = head
        self._found: dict[str, list[BoxesOfImage]] = {x.name: [] for x in self._head.labels}

    def add(self, seen: Prediction) -> None:
        for label, (boxes,) in detections(self._model, (self._name, self._head), [seen]).items():
            if boxes is not None:
                self._found[label].append(boxes)

    def head(self) -> HeadSpec:
        return _with_thresholds(
            self._head, [self._best(x.name) for x in self._head.labels], self.RULE
        )

    def _best(self, label: str) -> float:
        scores = [_f1(self._found[label], cut) for cut in self.GRID]
        return (
            round(float(self.GRID[int(np.argmax(scores))]), 2) if max(scores) >= USABLE_F1 else 1.0
        )


_CALIBRATIONS: dict[
    Task, Callable[[TrainedModel, tuple[str, HeadSpec], ThresholdRule], _Calibration]
] = {Task.CLASSIFY: _Findings, Task.SEGMENT: _Masks, Task.DETECT: _Boxes}


def _f1(images: Sequence[BoxesOfImage], cut: float) -> float:
    """F1 of the boxes that score at least `cut`."""
    hits = predicted = true = 0
    for image in images:
        kept = [b for s, b in zip(image.scores, image.predicted, strict=True) if s >= cut]
        free = list(image.truth)
        for box in kept:
            match = next((t for t in free if iou(box, t) >= DETECT_IOU), None)
            if match is not None:
                free.remove(match)
                hits += 1
        predicted, true = predicted + len(kept), true + len(image.truth)
    return 2 * hits / (predicted + true) if predicted + true else 0.0
