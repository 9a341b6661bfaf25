"""Grounding: does the map of a phrase lie where the concept is, for wordings never trained on.

    concept -> wordings, and the structure whose mask or boxes say where it is
    row     -> mask of the structure, else its boxes filled, else nothing to measure

Also: does something absent score lower than the lungs, and is a finding told by its phrase.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from radiograph.geometry import Box
from radiograph.manifest import HeadSpec, Metric, Task
from radiograph.postprocess import heads
from radiograph.postprocess.activations import sigmoid
from radiograph.postprocess.heads import Grounding
from training.data.rows.labels import truth
from training.evaluation.evaluators.estimates import Mean, figure
from training.evaluation.predictions import Prediction
from training.evaluation.trained_model import Raw, TrainedModel
from training.metrics import (
    Ranked,
    contrast_to_noise,
    dice,
    mask_iou,
    region_recall,
)
from training.metrics.arrays import BoolArray, FloatArray
from training.metrics.heatmaps import boxes_around

ORGANS = {"left lung": "Left lung", "right lung": "Right lung", "heart": "Cardiomediastinum"}
"""Concept -> the structure that it is, by the name of its mask: a box would be mostly beside it."""
TARGETS = ORGANS | {
    "pneumonia": "Lung opacity",
    "pneumothorax": "Pneumothorax",
    "foreign object": "Foreign object",
}
"""Concept -> the structure that it is, by the names of masks and boxes."""
FINDINGS = {"pneumonia": "Pneumonia", "pneumothorax": "Pneumothorax"}
"""Concept -> the finding whose presence its phrase should tell."""
PART_OF_PEAK = 0.5
"""A cell whose value reaches this part of the map's highest belongs to the region: the rule of the
boxes that the service draws (`radiograph.postprocess.heads`), and not tuned on any split."""
_ONLY_OTHERS = "heart"
"""The concept of which no wording was set apart as the plain one."""


@dataclass(frozen=True, eq=False)
class Place:
    """Where a structure is in one radiograph.

    Attributes:
        mask: rows x columns; where boxes are known and no mask, the boxes filled.
        boxes: the boxes, or those around the connected parts of the mask.
    """

    mask: BoolArray
    boxes: tuple[Box, ...]


def place_of(seen: Prediction, structure: str) -> Place | None:
    """Where a structure is; None where that is not known, or it is nowhere."""
    mask = seen.masks.get(structure)
    if mask is not None:
        return Place(mask, tuple(boxes_around(mask))) if mask.any() else None
    boxes = seen.boxes.get(structure)
    if not boxes or structure in ORGANS.values():
        return None
    filled = np.zeros(seen.counted.shape, dtype=bool)
    for x0, y0, x1, y1 in boxes:
        columns, rows = (slice(max(0, round(a)), max(0, round(b))) for a, b in ((x0, x1), (y0, y1)))
        filled[rows, columns] = True
    return Place(filled, tuple(boxes)) if filled.any() else None


def region_figures(
    heat: FloatArray, cut: float, place: Place, counted: BoolArray
) -> dict[str, float]:
    """Metric -> value of one map, rows x columns, whose region is what reaches the cut."""
    region = heat >= cut
    return {
        "cnr": contrast_to_noise(heat.astype(np.float64), place.mask, counted),
        "iou": mask_iou(region, place.mask, counted),
        "dice": dice(region, place.mask, counted),
        "recall": region_recall(region, place.boxes),
    }


class GroundingMeasure:
    """One ground head on one data set."""

    def __init__(
        self,
        model: TrainedModel,
        head: tuple[str, HeadSpec],
        data: str,
        wordings: Mapping[str, Sequence[str]],
    ) -> None:
        """Embed every phrase once.

        Args:
            model: the run.
            head: name and description.
            data: name of the set.
            wordings: concept -> those that nothing was trained on; `absent` is in no radiograph.
        """
        self._model, self._data = model, data
        self._name, self._head = head
        self._wordings = {concept: list(texts) for concept, texts in wordings.items()}
        for concept in TARGETS:
            if concept != _ONLY_OTHERS:
                self._wordings.setdefault(concept, []).insert(0, concept)
        self._texts = {c: model.text(texts) for c, texts in self._wordings.items()}
        self._means: dict[tuple[str, str], Mean] = {}
        self._told: dict[str, list[tuple[str, float, bool]]] = {}

    def add(self, seen: Prediction) -> None:
        """Keep the figures of one radiograph."""
        known = truth(seen.row)
        similarity: dict[str, list[float]] = {}
        for concept in self._wordings:
            place = place_of(seen, TARGETS.get(concept, ""))
            tells = FINDINGS.get(concept, "") in known
            if place is None and not tells and concept not in ("left lung", "right lung", "absent"):
                continue  # nothing to compare with
            raw = self._raw(seen, concept)
            answers = heads.ground(self._head, raw, self._wordings[concept], seen.geometry)
            similarity[concept] = [answer.similarity for answer in answers]
            if place is not None:
                self._pointing(seen, concept, place, answers)
                if concept != _ONLY_OTHERS:
                    self._regions(seen, concept, place, raw["logits"][0])
            if tells:
                present = known[FINDINGS[concept]]
                told = (seen.row.patient_id, answers[0].similarity, present)
                self._told.setdefault(concept, []).append(told)
        lungs = similarity["left lung"] + similarity["right lung"]
        ordered = float(np.mean([p > a for p in lungs for a in similarity["absent"]]))
        self._keep(seen, "present above absent, unseen wordings", "ordered pairs", ordered)

    def _raw(self, seen: Prediction, concept: str) -> Raw:
        inputs = seen.features | {"phrase_features": self._texts[concept]}
        return {k: v[0] for k, v in self._model.head(self._name, inputs).items()}

    def _keep(self, seen: Prediction, label: str, metric: str, value: float) -> None:
        self._means.setdefault((label, metric), Mean()).add(seen, value)

    def _pointing(
        self, seen: Prediction, concept: str, place: Place, answers: Sequence[Grounding]
    ) -> None:
        inside = [
            a.peak is not None and bool(place.mask[int(a.peak[1]), int(a.peak[0])]) for a in answers
        ]
        others = inside if concept == _ONLY_OTHERS else inside[1:]
        if concept != _ONLY_OTHERS:
            self._keep(seen, concept, "pointing", float(inside[0]))
        if others:
            self._keep(seen, f"{concept}, unseen wordings", "pointing", float(np.mean(others)))

    def _regions(self, seen: Prediction, concept: str, place: Place, logits: FloatArray) -> None:
        """Figures of the plain wording's map, in source pixels."""
        heat = seen.geometry.map_to_source(_probabilities(logits, self._head.temperature))
        top = float(seen.geometry.crop(_probabilities(logits, self._head.temperature)).max())
        for metric, value in region_figures(heat, PART_OF_PEAK * top, place, seen.counted).items():
            self._keep(seen, concept, metric, value)

    def metrics(self) -> Iterator[Metric]:
        """Every figure, its name ending in the method of the head."""
        method = self._head.method or ""
        for (label, metric), found in self._means.items():
            yield found.metric((self._data, Task.GROUND, label, f"{metric} ({method})"))
        for concept, told in self._told.items():
            scores = np.array([similarity for _, similarity, _ in told])
            ranked = Ranked(scores, np.array([present for *_, present in told]), concept)
            about = (self._data, Task.GROUND, concept, f"auroc ({method})")
            yield figure([patient for patient, *_ in told], ranked.area, about)


def _probabilities(logits: FloatArray, temperature: float) -> FloatArray:
    """The values of a head's heat map, over the whole square."""
    values: FloatArray = sigmoid(logits, temperature).astype(np.float32)
    return values
