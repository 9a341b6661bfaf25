"""Boxes: average precision over every image whose boxes are known, matched once."""

from collections.abc import Iterator
from functools import partial

from radiograph.manifest import HeadSpec, Metric, Task
from training.evaluation.evaluators.estimates import figure
from training.evaluation.predictions import Prediction, detections
from training.evaluation.trained_model import TrainedModel
from training.metrics import MAP_IOUS, BoxesOfImage, Counts, Matched, match
from training.metrics.average_precision import Interpolation
from training.metrics.mgca_protocol import SUFFIX, published_boxes

AT_50 = MAP_IOUS.index(0.5)


class BoxesMeasure:
    """`ap50`, and `map` over IoU 0.40 to 0.75, both by all-point interpolation.

    Under `protocol: mgca` also `map (mgca)`: the images and the interpolation of the published one.
    """

    def __init__(self, model: TrainedModel, head: tuple[str, HeadSpec], data: str) -> None:
        """Measure a head on one data set."""
        self._model, self._data = model, data
        self._name, self._head = head
        self._patients: dict[str, list[str]] = {}
        self._boxes: dict[str, list[BoxesOfImage]] = {}

    def add(self, seen: Prediction) -> None:
        """Keep the boxes of one radiograph, predicted and true."""
        for label, (boxes,) in detections(self._model, (self._name, self._head), [seen]).items():
            if boxes is not None:
                self._patients.setdefault(label, []).append(seen.row.patient_id)
                self._boxes.setdefault(label, []).append(boxes)

    def metrics(self) -> Iterator[Metric]:
        """Of each label."""
        for label, boxes in self._boxes.items():
            patients, about = self._patients[label], (self._data, Task.DETECT, label)
            found = match(boxes)
            yield figure(patients, partial(_at_50, found), (*about, "ap50"))
            yield figure(patients, partial(_mean, found), (*about, "map"))
            if self._model.config.data.protocol == "mgca":
                kept = published_boxes(boxes)
                found = match(list(kept.values()))
                mean = partial(_mean, found, interpolation="coco")
                yield figure([patients[n] for n in kept], mean, (*about, "map" + SUFFIX))


def _at_50(found: Matched, counts: Counts) -> float:
    return float(found.average_precision(counts)[AT_50])


def _mean(found: Matched, counts: Counts, interpolation: Interpolation = "all_points") -> float:
    return float(found.average_precision(counts, interpolation).mean())
