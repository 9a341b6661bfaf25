"""Share of the decisions that two trunks lead to alike, with the same heads and thresholds.

    answers of both for one image -> findings, pixels, boxes, phrases -> alike, all -> share

All is what either side decides positively of masks and boxes, for what both leave out is most of an
image; of findings and phrases it is every one that is answered.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from radiograph.manifest import CHECK, HeadSpec, Task
from radiograph.postprocess import heads
from radiograph.postprocess.boxes import pairwise_iou
from radiograph.postprocess.grounding import LIKELY_PRESENT, Grounding
from radiograph.postprocess.heads import Detection
from training.evaluation.phrases.regions import TARGETS
from training.evaluation.predictions import EvaluatedHead, Prediction
from training.evaluation.trained_model import TrainedModel
from training.metrics.arrays import FloatArray

SAME_BOX_IOU = 0.5
"""IoU from which two boxes of a label are the same."""


@dataclass
class Agreement:
    """Numbers of decisions of one head: those that are alike, and all."""

    alike: int = 0
    all: int = 0

    @property
    def share(self) -> float:
        """Share of the decisions that are alike; 1 if there is none."""
        return self.alike / self.all if self.all else 1.0


class SameDecisions:
    """Agreement of every head, counted image by image."""

    def __init__(self, model: TrainedModel, specs: Mapping[str, HeadSpec]) -> None:
        """Args: model: the run; specs: calibrated heads by name."""
        self._heads = [EvaluatedHead(model, name, spec) for name, spec in specs.items()]
        self._phrases = model.text(list(TARGETS)) if model.reads_text else None
        self._agreements = {name: Agreement() for name in specs}

    def add(self, ours: Prediction, theirs: Prediction) -> None:
        """Count the decisions of one radiograph, predicted by both trunks."""
        for head in self._heads:
            agreement = self._agreements[head.name]
            for alike, everything in _counts(head, ours, theirs, self._phrases):
                agreement.alike += alike
                agreement.all += everything

    @property
    def shares(self) -> dict[str, float]:
        """Share of the decisions that are alike, by head."""
        return {name: round(each.share, 4) for name, each in self._agreements.items()}


def _counts(
    head: EvaluatedHead, ours: Prediction, theirs: Prediction, phrases: FloatArray | None
) -> Iterator[tuple[int, int]]:
    """Yield the numbers of decisions alike and of all, in parts."""
    spec, place = head.spec, ours.geometry
    if spec.kind is Task.GROUND:
        assert phrases is not None  # noqa: S101 - a ground head reads phrases
        answers = (
            heads.ground(spec, head.phrase_outputs(side, phrases), list(TARGETS), place)
            for side in (ours, theirs)
        )
        for one, other in zip(*answers, strict=True):
            yield int(_found(one) is _found(other)), 1
        return
    one_raw, other_raw = head.outputs(ours), head.outputs(theirs)
    if spec.kind in (Task.CLASSIFY, CHECK):
        sides = (heads.classify(spec, raw) for raw in (one_raw, other_raw))
        for finding, again in zip(*sides, strict=True):
            yield int(finding.positive is again.positive), 1
    elif spec.kind is Task.SEGMENT:
        masks = (heads.segment(spec, raw, place, None) for raw in (one_raw, other_raw))
        for mask, again in zip(*masks, strict=True):
            yield int((mask.mask & again.mask).sum()), int((mask.mask | again.mask).sum())
    else:
        found, again = (heads.detect(spec, raw, place) for raw in (one_raw, other_raw))
        alike = sum(_same_boxes(found, again, label.name) for label in spec.labels)
        yield alike, len(found) + len(again) - alike


def _found(answer: Grounding) -> bool:
    """Return the decision on a phrase, or the usual one of a head that does not decide."""
    if answer.presence is not None:
        return answer.presence.found
    return answer.similarity >= LIKELY_PRESENT


def _same_boxes(ours: tuple[Detection, ...], theirs: tuple[Detection, ...], label: str) -> int:
    """Return the number of boxes of a label that both sides have, each counted once."""
    sides = [[d.box for d in side if d.name == label] for side in (ours, theirs)]
    if not all(sides):
        return 0
    overlaps = pairwise_iou(*(np.array(side, dtype=np.float64) for side in sides))
    pairs = 0
    while overlaps.max() >= SAME_BOX_IOU:
        row, column = np.unravel_index(overlaps.argmax(), overlaps.shape)
        overlaps[row, :] = overlaps[:, column] = -1.0
        pairs += 1
    return pairs
