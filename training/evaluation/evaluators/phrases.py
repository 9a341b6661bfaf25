"""Decisions on phrases against what is known of each radiograph.

questions with known answers --served decision--> AUROC, calibration, share found or not found
phrases with known regions   --served boxes-----> pointing where found, box recall, false boxes
"""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from radiograph.manifest import Task
from radiograph.postprocess import heads
from radiograph.postprocess.grounding import Grounding
from training.evaluation.evaluators.estimates import Figure, ImageMean, Quantity
from training.evaluation.phrases.questions import Questionnaire
from training.evaluation.phrases.regions import (
    FOUND_IOU,
    TARGETS,
    TrueRegion,
    matched_boxes,
    region_of,
)
from training.evaluation.predictions import EvaluatedHead, Prediction
from training.metrics import Ranked, calibration_error

EVERY_PHRASE = "all phrases"


class PhraseFigures:
    """Figures of the decisions of a head that has a rule, on one data set.

    `found` and `not found` are the right decisions on present and on absent phrases, by group.
    `false boxes` are those of an image that match no true one, over its phrases whose regions are
    known and its phrases that are known to be absent.
    """

    def __init__(self, head: EvaluatedHead, data: str, questions: Questionnaire) -> None:
        """Embed every phrase once.

        Args:
            head: calibrated head with a rule.
            data: name of the data set.
            questions: questions of the split.
        """
        self._head, self._data, self._questions = head, data, questions
        self._texts = [*questions.texts, *TARGETS]
        self._features = head.model.text(self._texts)
        self._means: dict[tuple[str, str], ImageMean] = {}
        self._scored: list[tuple[str, float, bool]] = []

    def add(self, prediction: Prediction) -> None:
        """Keep the figures of one radiograph."""
        raw = self._head.phrase_outputs(prediction, self._features)
        found = heads.ground(self._head.spec, raw, self._texts, prediction.geometry)
        asked = len(self._questions.texts)
        answers = dict(zip(self._questions.texts, found[:asked], strict=True))
        false = self._decisions(prediction, answers)
        regions = {concept: region_of(prediction, concept) for concept in TARGETS}
        for answer in found[asked:]:
            if (region := regions[answer.phrase]) is not None:
                false += self._places(prediction, answer, region)
        if self._questions.about(prediction.row):
            self._keep(prediction, EVERY_PHRASE, "false boxes", float(false))

    def _decisions(self, prediction: Prediction, answers: Mapping[str, Grounding]) -> int:
        """Keep the decision on each question; return the number of boxes of absent phrases."""
        right: dict[tuple[str, str], list[bool]] = {}
        false = 0
        for question in self._questions.about(prediction.row):
            answer = answers[question.text]
            if answer.presence is None:
                continue
            scored = (prediction.row.patient_id, answer.presence.probability, question.present)
            self._scored.append(scored)
            metric = "found" if question.present else "not found"
            decided = answer.presence.found is question.present
            right.setdefault((question.group, metric), []).append(decided)
            false += 0 if question.present else len(answer.boxes)
        for (group, metric), decisions in right.items():
            self._keep(prediction, f"{group} phrases", metric, float(np.mean(decisions)))
        return false

    def _places(self, prediction: Prediction, answer: Grounding, region: TrueRegion) -> int:
        """Keep peak and boxes of a phrase with a known region; return the number of false boxes."""
        if answer.peak is not None:
            inside = bool(region.mask[int(answer.peak[1]), int(answer.peak[0])])
            self._keep(prediction, answer.phrase, "pointing, where found", float(inside))
        boxes = [place.box for place in answer.boxes]
        hits = matched_boxes(boxes, region.boxes)
        for label in (answer.phrase, EVERY_PHRASE):
            self._keep(
                prediction, label, f"box recall at iou {FOUND_IOU}", hits / len(region.boxes)
            )
        return len(boxes) - hits

    def _keep(self, prediction: Prediction, label: str, metric: str, value: float) -> None:
        self._means.setdefault((label, metric), ImageMean()).add(prediction, value)

    def figures(self) -> Iterator[Figure]:
        """Yield every figure; its name ends in the method of the head."""
        for (label, metric), mean in self._means.items():
            yield mean.figure(self._quantity(label, metric))
        if self._scored:
            patients = [patient for patient, *_ in self._scored]
            scores = np.array([score for _, score, _ in self._scored])
            present = np.array([shown for *_, shown in self._scored])
            ranked = Ranked(scores, present, EVERY_PHRASE)
            yield Figure(self._quantity(EVERY_PHRASE, "presence auroc"), patients, ranked.area)
            error = partial(calibration_error, scores, present)
            yield Figure(self._quantity(EVERY_PHRASE, "presence ece"), patients, error)

    def _quantity(self, label: str, metric: str) -> Quantity:
        named = f"{metric} ({self._head.spec.method})"
        return Quantity(self._data, Task.GROUND, label, named)
