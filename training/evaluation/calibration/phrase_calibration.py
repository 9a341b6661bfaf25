"""Calibration of a ground head on the validation split: presence, its threshold, and boxes.

questions of each row -> raw presence --logistic regression--> probability --> threshold
phrases with known regions -> boxes at several thresholds of the map --best F1--> box threshold
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from radiograph.manifest import HeadSpec, PhraseRule
from radiograph.postprocess import heads
from radiograph.postprocess.activations import sigmoid
from training.evaluation.phrases.questions import Questionnaire
from training.evaluation.phrases.regions import FOUND_IOU, TARGETS, matched_boxes, region_of
from training.evaluation.predictions import EvaluatedHead, Prediction
from training.metrics import balanced_threshold
from training.metrics.arrays import BoolArray, Float64Array

USABLE_PRESENCE = 0.75
"""Smallest mean of sensitivity and specificity at the threshold; a head below it gets no rule."""
BOX_GRID = tuple(round(0.05 * step, 2) for step in range(2, 19))
"""Thresholds of the map that are tried."""
DEFAULT_BOX_THRESHOLD = 0.5
"""Threshold of the map if the split has no region to choose it by."""
_ALWAYS = PhraseRule(scale=1, offset=0, threshold=0, box_threshold=DEFAULT_BOX_THRESHOLD)


class PhraseCalibration:
    """Presence by logistic regression; its threshold by balanced accuracy; boxes by F1.

    The threshold has the highest mean of sensitivity (the mean over anatomy and present findings)
    and specificity (the mean over absent findings and foreign phrases), so that neither a group
    nor a common answer outweighs another. The threshold of the boxes has the highest F1 at
    `FOUND_IOU`, averaged over the concepts whose regions are known in images that show them.
    """

    def __init__(self, head: EvaluatedHead) -> None:
        """Embed every phrase once."""
        self._head = head
        self._questions = Questionnaire("valid")
        self._features = head.model.text([*self._questions.texts, *TARGETS])
        self._presence: dict[tuple[str, bool], list[float]] = {}
        self._boxes: dict[str, Float64Array] = {}

    def add(self, prediction: Prediction) -> None:
        """Keep the figures of one validation radiograph."""
        raw = self._head.phrase_outputs(prediction, self._features)
        texts = self._questions.texts
        for question in self._questions.about(prediction.row):
            logit = float(raw["presence"][texts.index(question.text)])
            self._presence.setdefault((question.group, question.present), []).append(logit)
        for number, concept in enumerate(TARGETS, len(texts)):
            region = region_of(prediction, concept)
            if region is None:
                continue
            one = {name: value[number : number + 1] for name, value in raw.items()}
            found = np.zeros((len(BOX_GRID), 3))  # hits, predicted, true
            for k, cut in enumerate(BOX_GRID):
                rule = _ALWAYS.model_copy(update={"box_threshold": cut})
                spec = self._head.spec.model_copy(update={"phrase_rule": rule})
                (answer,) = heads.ground(spec, one, [concept], prediction.geometry)
                boxes = [place.box for place in answer.boxes]
                found[k] = matched_boxes(boxes, region.boxes), len(boxes), len(region.boxes)
            self._boxes[concept] = self._boxes.get(concept, 0) + found

    def spec(self) -> HeadSpec:
        """Return the manifest entry of the head, with a rule if the head can tell."""
        present = [np.array(v) for (_, shown), v in self._presence.items() if shown]
        absent = [np.array(v) for (_, shown), v in self._presence.items() if not shown]
        if not present or not absent:
            return self._with_rule(
                None, "no rule: the validation split has no phrases to choose by"
            )
        logits = np.concatenate([*present, *absent])
        shown = np.arange(len(logits)) < sum(map(len, present))
        scale, offset = fit_logistic(logits, shown)
        cut = balanced_threshold(
            [sigmoid(scale * x + offset) for x in present],
            [sigmoid(scale * x + offset) for x in absent],
        )
        threshold = float(np.floor(cut * 1e4) / 1e4)
        right = [float((sigmoid(scale * x + offset) >= threshold).mean()) for x in present]
        wrong = [float((sigmoid(scale * x + offset) >= threshold).mean()) for x in absent]
        accuracy = (np.mean(right) + 1 - np.mean(wrong)) / 2
        if accuracy < USABLE_PRESENCE:
            words = f"no rule: the balanced accuracy of presence is {accuracy:.2f}, too low"
            return self._with_rule(None, words)
        rule = PhraseRule(
            scale=scale, offset=offset, threshold=threshold, box_threshold=self._box_threshold()
        )
        words = (
            "presence: best balanced accuracy over anatomy, findings and foreign phrases "
            f"({accuracy:.3f}); boxes: best mean F1 at IoU {FOUND_IOU:g} over the concepts; "
            "both on the validation split"
        )
        return self._with_rule(rule, words)

    def _with_rule(self, rule: PhraseRule | None, words: str) -> HeadSpec:
        return self._head.spec.model_copy(update={"phrase_rule": rule, "threshold_rule": words})

    def _box_threshold(self) -> float:
        if not self._boxes:
            return DEFAULT_BOX_THRESHOLD
        f1 = [
            2 * hits / (found + true) for hits, found, true in (b.T for b in self._boxes.values())
        ]
        return BOX_GRID[int(np.argmax(np.mean(f1, axis=0)))]


def fit_logistic(logits: Float64Array, positive: BoolArray) -> tuple[float, float]:
    """Return scale and offset of a logistic regression on one raw score.

    Args:
        logits: N, finite.
        positive: N; both classes occur.

    Returns:
        A positive scale, and the offset; 1 and 0 where higher scores are not more often positive.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LogisticRegression(C=1e3).fit(logits[:, None], positive)
    scale, offset = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    return (scale, offset) if scale > 0 else (1.0, 0.0)
