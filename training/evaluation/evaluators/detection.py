"""Evaluation of boxes: average precision over the images whose boxes are known.

boxes of each image --add--> matched once for each label --> figures
"""

from collections.abc import Iterator, Sequence
from functools import partial

from radiograph.geometry.geometry import Box
from radiograph.manifest import Task
from training.config.description import ORGANS
from training.evaluation.evaluators.estimates import ALL_LABELS, Evaluator, Figure, Quantity
from training.evaluation.predictions import EvaluatedHead, Prediction
from training.metrics import MAP_IOUS, BoxesOfImage, Counts, Matched, match
from training.metrics.average_precision import Interpolation
from training.metrics.mgca_protocol import SUFFIX, published_boxes

AT_50 = MAP_IOUS.index(0.5)
FOUND_IOU = 0.3
FOUND = f"found at iou {FOUND_IOU}"
_FAR_PX = 1e6
"""Distance that is larger than any image."""


class DetectionEvaluator(Evaluator):
    """`ap50`, and `map` over IoU 0.40 to 0.75, both by all-point interpolation.

    Findings also have `found at iou 0.3`, the share of the true boxes that are found with at most
    one false box an image; for all findings together too, each box counting for its own finding.

    Under `protocol: mgca` there is also `map (mgca)`, with the images and the interpolation of the
    published code.
    """

    def __init__(self, head: EvaluatedHead, data: str) -> None:
        """Args: head: calibrated head of the boxes; data: name of the data set."""
        self._head, self._data = head, data
        self._patients: dict[str, list[str]] = {}
        self._boxes: dict[str, list[BoxesOfImage]] = {}
        self._findings: list[BoxesOfImage] = []
        self._patients_of_findings: list[str] = []

    def add(self, prediction: Prediction) -> None:
        """Keep the boxes of one radiograph, predicted and true."""
        found = self._head.detections(prediction)
        for label, boxes in found.items():
            self._patients.setdefault(label, []).append(prediction.row.patient_id)
            self._boxes.setdefault(label, []).append(boxes)
        findings = [boxes for label, boxes in found.items() if label not in ORGANS]
        if findings:
            self._findings.append(_together(findings))
            self._patients_of_findings.append(prediction.row.patient_id)

    def figures(self) -> Iterator[Figure]:
        """Yield the figures of each label."""
        for label, boxes in self._boxes.items():
            patients, quantity = self._patients[label], partial(Quantity, self._data, Task.DETECT)
            matched = match(boxes)
            yield Figure(quantity(label, "ap50"), patients, partial(_at_50, matched))
            yield Figure(quantity(label, "map"), patients, partial(_mean, matched))
            if label not in ORGANS:
                yield _found(boxes, patients, quantity(label, FOUND))
            if self._head.model.config.data.protocol == "mgca":
                kept = published_boxes(boxes)
                matched = match(list(kept.values()))
                mean = partial(_mean, matched, interpolation="coco")
                counted = [patients[n] for n in kept]
                yield Figure(quantity(label, "map" + SUFFIX), counted, mean)
        if any(boxes.truth for boxes in self._findings):
            every = Quantity(self._data, Task.DETECT, ALL_LABELS, FOUND)
            yield _found(self._findings, self._patients_of_findings, every)


def _together(findings: Sequence[BoxesOfImage]) -> BoxesOfImage:
    """Join the boxes of several findings in one image, far apart, so that they match their own."""
    apart = [
        BoxesOfImage(each.scores, _moved(each.predicted, n), _moved(each.truth, n))
        for n, each in enumerate(findings)
    ]
    return BoxesOfImage(
        tuple(score for each in apart for score in each.scores),
        tuple(box for each in apart for box in each.predicted),
        tuple(box for each in apart for box in each.truth),
    )


def _moved(boxes: Sequence[Box], number: int) -> tuple[Box, ...]:
    far = number * _FAR_PX
    return tuple((x0 + far, y0, x1 + far, y1) for x0, y0, x1, y1 in boxes)


def _found(boxes: Sequence[BoxesOfImage], patients: Sequence[str], quantity: Quantity) -> Figure:
    matched = match(boxes, (FOUND_IOU,))
    return Figure(quantity, patients, partial(_recall, matched))


def _recall(matched: Matched, counts: Counts) -> float:
    return float(matched.recall_at(1.0, counts)[0])


def _at_50(matched: Matched, counts: Counts) -> float:
    return float(matched.average_precision(counts)[AT_50])


def _mean(matched: Matched, counts: Counts, interpolation: Interpolation = "all_points") -> float:
    return float(matched.average_precision(counts, interpolation).mean())
