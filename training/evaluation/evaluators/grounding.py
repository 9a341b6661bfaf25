"""Evaluation of phrase grounding: the map of a phrase against the region of its concept.

    concept -> wordings that were never trained on, and the structure that shows its region
    row     -> mask of the structure, else its boxes filled, else nothing to measure

Two more figures: how often a lung scores higher than something absent, and the AUROC of a finding
by the similarity of its phrase.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from radiograph.manifest import Task
from radiograph.postprocess import heads
from radiograph.postprocess.activations import sigmoid
from radiograph.postprocess.grounding import Grounding
from training.evaluation.evaluators.estimates import Evaluator, Figure, ImageMean, Quantity
from training.evaluation.evaluators.phrases import PhraseFigures
from training.evaluation.phrases.questions import Questionnaire
from training.evaluation.phrases.regions import ORGANS, TARGETS, TrueRegion, region_of
from training.evaluation.predictions import EvaluatedHead, Prediction
from training.metrics import (
    Ranked,
    contrast_to_noise,
    dice,
    mask_iou,
    region_recall,
)
from training.metrics.arrays import BoolArray, FloatArray

FINDINGS = {"pneumonia": "Pneumonia", "pneumothorax": "Pneumothorax"}
"""Concept -> finding whose presence its similarity is measured by."""
EVERY_FINDING = "boxes of findings"
"""Label of the figure over all regions of findings together."""
PART_OF_PEAK = 0.5
"""Fraction of a map's highest value from which a pixel belongs to the region. It is the rule of
the service for a head that decides nothing, and was not tuned on any split."""
_COMPARED = ("left lung", "right lung", "absent")
"""Concepts whose similarity is needed of every radiograph."""
_NO_PLAIN_WORDING = "heart"
"""Concept without a plain wording: all of its wordings are unseen ones."""


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


class GroundingEvaluator(Evaluator):
    """Metrics of one ground head on one data set."""

    def __init__(
        self,
        head: EvaluatedHead,
        data: str,
        wordings: Mapping[str, Sequence[str]],
        questions: Questionnaire,
    ) -> None:
        """Embed every phrase once.

        Args:
            head: head that answers phrases.
            data: name of the data set.
            wordings: concept -> phrases that nothing was trained on, used beside the plain name of
                the concept; the concept `absent` is in no radiograph.
            questions: questions by which the decisions of a head with a rule are measured.
        """
        self._decisions: PhraseFigures | None = None
        if head.spec.phrase_rule is not None:
            self._decisions = PhraseFigures(head, data, questions)
        # Maps and peaks are measured whatever the decision is; `PhraseFigures` measures decisions.
        undecided = head.spec.model_copy(update={"phrase_rule": None})
        self._head, self._data = replace(head, spec=undecided), data
        self._wordings = {concept: list(texts) for concept, texts in wordings.items()}
        for concept in TARGETS:
            if concept != _NO_PLAIN_WORDING:
                self._wordings.setdefault(concept, []).insert(0, concept)
        self._texts = {c: head.model.text(texts) for c, texts in self._wordings.items()}
        self._means: dict[tuple[str, str], ImageMean] = {}
        self._similarities: dict[str, list[tuple[str, float, bool]]] = {}

    def add(self, prediction: Prediction) -> None:
        """Keep the figures of one radiograph."""
        if self._decisions is not None:
            self._decisions.add(prediction)
        known = prediction.row.findings
        similarity: dict[str, list[float]] = {}
        for concept in self._wordings:
            region = region_of(prediction, concept)
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

    def figures(self) -> Iterator[Figure]:
        """Yield every figure; its name ends in the method of the head."""
        method = self._head.spec.method or ""
        for (label, metric), mean in self._means.items():
            yield mean.figure(self._quantity(label, f"{metric} ({method})"))
        for concept, scored in self._similarities.items():
            scores = np.array([similarity for _, similarity, _ in scored])
            ranked = Ranked(scores, np.array([present for *_, present in scored]), concept)
            quantity = self._quantity(concept, f"auroc ({method})")
            yield Figure(quantity, [patient for patient, *_ in scored], ranked.area)
        if self._decisions is not None:
            yield from self._decisions.figures()

    def _quantity(self, label: str, metric: str) -> Quantity:
        return Quantity(self._data, Task.GROUND, label, metric)
