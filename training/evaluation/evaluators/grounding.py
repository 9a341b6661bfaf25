"""Evaluation of phrase grounding: the map of a phrase against the region of its concept.

    concept -> wordings that were never trained on, and the structure that shows its region
    row     -> mask of the structure, else its boxes filled, else nothing to measure

Two more figures: how often a lung scores higher than something absent, and the AUROC of a finding
by the similarity of its phrase.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from radiograph.geometry import Box
from radiograph.manifest import Metric, Task
from radiograph.postprocess import heads
from radiograph.postprocess.activations import sigmoid
from radiograph.postprocess.grounding import Grounding
from training.evaluation.evaluators.estimates import ImageMean, Quantity, estimate
from training.evaluation.predictions import EvaluatedHead, Prediction
from training.metrics import (
    Ranked,
    contrast_to_noise,
    dice,
    mask_iou,
    region_recall,
)
from training.metrics.arrays import BoolArray, FloatArray
from training.metrics.heatmaps import boxes_around

ORGANS = {
    "left lung": ("Left lung",),
    "right lung": ("Right lung",),
    "heart": ("Heart", "Cardiomediastinum"),
}
"""Concept -> names of its mask, the first that is annotated. A box is no region of an organ: it
would be mostly outside of it."""
TARGETS = ORGANS | {
    "pneumonia": ("Lung opacity", "Pneumonia"),
    "lung opacity": ("Lung opacity",),
    "infiltration": ("Infiltration",),
    "atelectasis": ("Atelectasis",),
    "pleural effusion": ("Effusion", "Pleural Effusion"),
    "cardiomegaly": ("Cardiomegaly",),
    "lung mass": ("Mass",),
    "lung nodule": ("Nodule",),
    "pneumothorax": ("Pneumothorax",),
    "foreign object": ("Foreign object",),
}
"""Concept -> names of its masks and boxes, the first that is there."""
FINDINGS = {"pneumonia": "Pneumonia", "pneumothorax": "Pneumothorax"}
"""Concept -> finding whose presence its similarity is measured by."""
EVERY_FINDING = "boxes of findings"
"""Label of the figure over all regions of findings together."""
PART_OF_PEAK = 0.5
"""Fraction of a map's highest value from which a pixel belongs to the region. It is the rule of the
service's boxes (`radiograph.postprocess.heads`), and was not tuned on any split."""
_COMPARED = ("left lung", "right lung", "absent")
"""Concepts whose similarity is needed of every radiograph."""
_NO_PLAIN_WORDING = "heart"
"""Concept without a plain wording: all of its wordings are unseen ones."""


@dataclass(frozen=True, eq=False)
class TrueRegion:
    """Region of a structure in one radiograph.

    Attributes:
        mask: rows x columns; the filled boxes where only boxes are known.
        boxes: the boxes, or those around the connected parts of the mask.
    """

    mask: BoolArray
    boxes: tuple[Box, ...]


def true_region(prediction: Prediction, structure: str) -> TrueRegion | None:
    """Return the region of a structure; None if it is not known or the structure is absent."""
    mask = prediction.masks.get(structure)
    if mask is not None:
        return TrueRegion(mask, tuple(boxes_around(mask))) if mask.any() else None
    boxes = prediction.boxes.get(structure)
    if not boxes or any(structure in names for names in ORGANS.values()):
        return None
    filled = np.zeros(prediction.counted.shape, dtype=bool)
    for x0, y0, x1, y1 in boxes:
        columns, rows = (slice(max(0, round(a)), max(0, round(b))) for a, b in ((x0, x1), (y0, y1)))
        filled[rows, columns] = True
    return TrueRegion(filled, tuple(boxes)) if filled.any() else None


def region_figures(
    heat: FloatArray, threshold: float, region: TrueRegion, counted: BoolArray
) -> dict[str, float]:
    """Return the metrics of one map, rows x columns; pixels that reach the threshold are predicted.

    Args:
        heat: values of the map.
        threshold: smallest value of a predicted pixel.
        region: region of the structure.
        counted: False for pixels that are not annotated.
    """
    predicted = heat >= threshold
    return {
        "cnr": contrast_to_noise(heat.astype(np.float64), region.mask, counted),
        "iou": mask_iou(predicted, region.mask, counted),
        "dice": dice(predicted, region.mask, counted),
        "recall": region_recall(predicted, region.boxes),
    }


class GroundingEvaluator:
    """Metrics of one ground head on one data set."""

    def __init__(
        self, head: EvaluatedHead, data: str, wordings: Mapping[str, Sequence[str]]
    ) -> None:
        """Embed every phrase once.

        Args:
            head: head that answers phrases.
            data: name of the data set.
            wordings: concept -> phrases that nothing was trained on, used beside the plain name of
                the concept; the concept `absent` is in no radiograph.
        """
        self._head, self._data = head, data
        self._wordings = {concept: list(texts) for concept, texts in wordings.items()}
        for concept in TARGETS:
            if concept != _NO_PLAIN_WORDING:
                self._wordings.setdefault(concept, []).insert(0, concept)
        self._texts = {c: head.model.text(texts) for c, texts in self._wordings.items()}
        self._means: dict[tuple[str, str], ImageMean] = {}
        self._similarities: dict[str, list[tuple[str, float, bool]]] = {}

    def add(self, prediction: Prediction) -> None:
        """Keep the figures of one radiograph."""
        known = prediction.row.findings
        similarity: dict[str, list[float]] = {}
        for concept in self._wordings:
            regions = (true_region(prediction, name) for name in TARGETS.get(concept, ()))
            region = next((found for found in regions if found is not None), None)
            labelled = FINDINGS.get(concept, "") in known
            if region is None and not labelled and concept not in _COMPARED:
                continue
            raw = self._head.phrase_outputs(prediction, self._texts[concept])
            wordings, geometry = self._wordings[concept], prediction.geometry
            answers = heads.ground(self._head.spec, raw, wordings, geometry)
            similarity[concept] = [answer.similarity for answer in answers]
            if region is not None:
                self._pointing(prediction, concept, region, answers)
                if concept != _NO_PLAIN_WORDING:
                    self._regions(prediction, concept, region, raw["logits"][0])
            if labelled:
                present = known[FINDINGS[concept]]
                scored = (prediction.row.patient_id, answers[0].similarity, present)
                self._similarities.setdefault(concept, []).append(scored)
        lungs = similarity["left lung"] + similarity["right lung"]
        ordered = float(np.mean([p > a for p in lungs for a in similarity["absent"]]))
        self._keep(prediction, "present above absent, unseen wordings", "ordered pairs", ordered)

    def _keep(self, prediction: Prediction, label: str, metric: str, value: float) -> None:
        self._means.setdefault((label, metric), ImageMean()).add(prediction, value)

    def _pointing(
        self,
        prediction: Prediction,
        concept: str,
        region: TrueRegion,
        answers: Sequence[Grounding],
    ) -> None:
        """Keep whether the peak of the plain wording, and of the others, lies in the region."""
        inside = [
            a.peak is not None and bool(region.mask[int(a.peak[1]), int(a.peak[0])])
            for a in answers
        ]
        others = inside if concept == _NO_PLAIN_WORDING else inside[1:]
        if concept != _NO_PLAIN_WORDING:
            self._keep(prediction, concept, "pointing", float(inside[0]))
        if concept not in ORGANS:
            self._keep(prediction, EVERY_FINDING, "pointing", float(inside[0]))
        if others:
            label = f"{concept}, unseen wordings"
            self._keep(prediction, label, "pointing", float(np.mean(others)))

    def _regions(
        self, prediction: Prediction, concept: str, region: TrueRegion, logits: FloatArray
    ) -> None:
        """Keep the figures of the plain wording's map, in source pixels."""
        probabilities = sigmoid(logits, self._head.spec.temperature)
        heat = prediction.geometry.map_to_source(probabilities)
        threshold = PART_OF_PEAK * float(prediction.geometry.crop(probabilities).max())
        figures = region_figures(heat, threshold, region, prediction.counted)
        for metric, value in figures.items():
            self._keep(prediction, concept, metric, value)

    def metrics(self) -> Iterator[Metric]:
        """Yield every figure; its name ends in the method of the head."""
        method = self._head.spec.method or ""
        for (label, metric), mean in self._means.items():
            yield mean.metric(self._quantity(label, f"{metric} ({method})"))
        for concept, scored in self._similarities.items():
            scores = np.array([similarity for _, similarity, _ in scored])
            ranked = Ranked(scores, np.array([present for *_, present in scored]), concept)
            quantity = self._quantity(concept, f"auroc ({method})")
            yield estimate([patient for patient, *_ in scored], ranked.area, quantity)

    def _quantity(self, label: str, metric: str) -> Quantity:
        return Quantity(self._data, Task.GROUND, label, metric)
