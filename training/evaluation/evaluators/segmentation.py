"""Evaluation of masks: Dice and IoU of each image in source pixels.

masks of each image --add--> one value per image --ImageMean--> figures
"""

from collections.abc import Iterator
from functools import partial

from radiograph.manifest import Task
from radiograph.postprocess import heads
from training.data.annotations.masks import LUNGS
from training.evaluation.evaluators.cardiothoracic import RatioFigures
from training.evaluation.evaluators.estimates import Evaluator, Figure, ImageMean, Quantity
from training.evaluation.predictions import EvaluatedHead, Prediction
from training.metrics import Counts, dice, mask_iou
from training.metrics.arrays import FloatArray
from training.metrics.mgca_protocol import SUFFIX, grid_dice, mean_of_batches

PRESENT = "dice, where present"


class SegmentationEvaluator(Evaluator):
    """Dice and IoU of each structure that is annotated.

    `dice` and `iou` count every annotated image; an image without the structure counts as 1 or 0
    (see `training.metrics.overlap`). `dice, where present` counts the images that show the
    structure; it is reported if not all do. The cardiothoracic ratio has figures of its own.
    """

    def __init__(self, head: EvaluatedHead, data: str) -> None:
        """Args: head: calibrated head of the masks; data: name of the data set."""
        self._served = {label.name for label in head.spec.labels if not label.withheld}
        self._ratio = RatioFigures(data)
        self._head = head.with_withheld
        self._data = data
        self._means: dict[tuple[str, str], ImageMean] = {}
        self._published: dict[str, ImageMean] = {}

    def add(self, prediction: Prediction) -> None:
        """Keep the figures of one radiograph, if it has a mask."""
        true_masks, counted = prediction.masks, prediction.counted
        if not true_masks:
            return
        raw = self._head.outputs(prediction)
        answers = heads.segment(self._head.spec, raw, prediction.geometry, None)
        predicted = {answer.name: answer.mask for answer in answers}
        self._ratio.add(prediction, {a.name: a.box for a in answers if a.name in self._served})
        pairs = {n: (predicted[n], true_masks[n]) for n in predicted if n in true_masks}
        if set(LUNGS) <= set(pairs):
            left, right = (pairs[name] for name in LUNGS)
            pairs["Both lungs"] = (left[0] | right[0], left[1] | right[1])
        for name, (ours, true) in pairs.items():
            self._keep(prediction, name, "dice", value := dice(ours, true, counted))
            self._keep(prediction, name, "iou", mask_iou(ours, true, counted))
            if (true & counted).any():
                self._keep(prediction, name, PRESENT, value)
        if self._head.model.config.data.protocol == "mgca":
            self._keep_published(prediction, raw["logits"])

    def _keep(self, prediction: Prediction, label: str, metric: str, value: float) -> None:
        self._means.setdefault((label, metric), ImageMean()).add(prediction, value)

    def _keep_published(self, prediction: Prediction, logits: FloatArray) -> None:
        """Keep the Dice on the model's grid, as the published code computes it."""
        for label, grid in zip(self._head.spec.labels, logits, strict=True):
            if label.name in prediction.masks:
                value = grid_dice(grid, prediction.masks[label.name], prediction.geometry)
                self._published.setdefault(label.name, ImageMean()).add(prediction, value)

    def figures(self) -> Iterator[Figure]:
        """Yield the figures of each structure."""
        for (label, metric), mean in self._means.items():
            if metric != PRESENT or len(mean.values) < len(self._means[label, "dice"].values):
                yield mean.figure(self._quantity(label, metric))
        for label, each in self._published.items():
            value = mean_of_batches(each.values, self._head.model.config.batch_size)
            # a mean of batches cannot be resampled by patient: its interval is the figure alone
            quantity = self._quantity(label, "dice" + SUFFIX)
            yield Figure(quantity, each.patients, partial(_always, value))
        yield from self._ratio.figures()

    def _quantity(self, label: str, metric: str) -> Quantity:
        return Quantity(self._data, Task.SEGMENT, label, metric)


def _always(value: float, _counts: Counts) -> float:
    """Return the value for any resample."""
    return value
