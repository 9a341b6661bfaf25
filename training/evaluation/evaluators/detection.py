"""Evaluation of boxes: average precision over the images whose boxes are known.

boxes of each image --add--> matched once for each label --estimate--> metrics
"""

from collections.abc import Iterator
from functools import partial

from radiograph.manifest import Metric, Task
from training.evaluation.evaluators.estimates import Quantity, estimate
from training.evaluation.predictions import EvaluatedHead, Prediction
from training.metrics import MAP_IOUS, BoxesOfImage, Counts, Matched, match
from training.metrics.average_precision import Interpolation
from training.metrics.mgca_protocol import SUFFIX, published_boxes

AT_50 = MAP_IOUS.index(0.5)


class DetectionEvaluator:
    """`ap50`, and `map` over IoU 0.40 to 0.75, both by all-point interpolation.

    Under `protocol: mgca` there is also `map (mgca)`, with the images and the interpolation of the
    published code.
    """

    def __init__(self, head: EvaluatedHead, data: str) -> None:
        """Args: head: calibrated head of the boxes; data: name of the data set."""
        self._head, self._data = head, data
        self._patients: dict[str, list[str]] = {}
        self._boxes: dict[str, list[BoxesOfImage]] = {}

    def add(self, prediction: Prediction) -> None:
        """Keep the boxes of one radiograph, predicted and true."""
        for label, boxes in self._head.detections(prediction).items():
            self._patients.setdefault(label, []).append(prediction.row.patient_id)
            self._boxes.setdefault(label, []).append(boxes)

    def metrics(self) -> Iterator[Metric]:
        """Yield the metrics of each label."""
        for label, boxes in self._boxes.items():
            patients, quantity = self._patients[label], partial(Quantity, self._data, Task.DETECT)
            matched = match(boxes)
            yield estimate(patients, partial(_at_50, matched), quantity(label, "ap50"))
            yield estimate(patients, partial(_mean, matched), quantity(label, "map"))
            if self._head.model.config.data.protocol == "mgca":
                kept = published_boxes(boxes)
                matched = match(list(kept.values()))
                mean = partial(_mean, matched, interpolation="coco")
                counted = [patients[n] for n in kept]
                yield estimate(counted, mean, quantity(label, "map" + SUFFIX))


def _at_50(matched: Matched, counts: Counts) -> float:
    return float(matched.average_precision(counts)[AT_50])


def _mean(matched: Matched, counts: Counts, interpolation: Interpolation = "all_points") -> float:
    return float(matched.average_precision(counts, interpolation).mean())
