"""Masks: Dice and IoU image by image in source pixels, empty ones counted and not."""

from collections.abc import Iterator

from radiograph.manifest import HeadSpec, Metric, Task
from radiograph.postprocess import heads
from training.data.rows.masks import LUNGS
from training.evaluation.evaluators.estimates import Mean, without_interval
from training.evaluation.predictions import Prediction, head_output
from training.evaluation.trained_model import TrainedModel
from training.metrics import dice, mask_iou
from training.metrics.arrays import FloatArray
from training.metrics.mgca_protocol import SUFFIX, grid_dice, mean_of_batches

PRESENT = "dice, where present"


class MasksMeasure:
    """Dice and IoU of each structure that is annotated.

    `dice` and `iou` count every annotated image, one that shows nothing as 1 or 0 (see
    `training.metrics.overlap`). `dice, where present` is that of the images that show something,
    told where not all do.
    """

    def __init__(self, model: TrainedModel, head: tuple[str, HeadSpec], data: str) -> None:
        """Measure a head on one data set."""
        self._model, self._data = model, data
        self._name, self._head = head[0], _with_withheld(head[1])
        self._found: dict[tuple[str, str], Mean] = {}
        self._published: dict[str, list[float]] = {}

    def add(self, seen: Prediction) -> None:
        """Keep the figures of one radiograph that has a mask."""
        if not seen.masks:
            return
        raw = head_output(self._model, self._name, seen)
        predicted = {m.name: m.mask for m in heads.segment(self._head, raw, seen.geometry, None)}
        pairs = {n: (predicted[n], seen.masks[n]) for n in predicted if n in seen.masks}
        if set(LUNGS) <= set(pairs):
            left, right = (pairs[name] for name in LUNGS)
            pairs["Both lungs"] = (left[0] | right[0], left[1] | right[1])
        for name, (ours, true) in pairs.items():
            self._keep(seen, name, "dice", value := dice(ours, true, seen.counted))
            self._keep(seen, name, "iou", mask_iou(ours, true, seen.counted))
            if (true & seen.counted).any():
                self._keep(seen, name, PRESENT, value)
        if self._model.config.data.protocol == "mgca":
            self._as_published(seen, raw["logits"])

    def _keep(self, seen: Prediction, label: str, metric: str, value: float) -> None:
        self._found.setdefault((label, metric), Mean()).add(seen, value)

    def _as_published(self, seen: Prediction, logits: FloatArray) -> None:
        for label, grid in zip(self._head.labels, logits, strict=True):
            if label.name in seen.masks:
                value = grid_dice(grid, seen.masks[label.name], seen.geometry)
                self._published.setdefault(label.name, []).append(value)

    def metrics(self) -> Iterator[Metric]:
        """Of each structure."""
        for (label, metric), found in self._found.items():
            if metric != PRESENT or len(found.values) < len(self._found[label, "dice"].values):
                yield found.metric((self._data, Task.SEGMENT, label, metric))
        for label, values in self._published.items():
            value = mean_of_batches(values, self._model.config.batch_size)
            about = (self._data, Task.SEGMENT, label, "dice" + SUFFIX)
            yield without_interval(value, len(values), about)


def _with_withheld(head: HeadSpec) -> HeadSpec:
    """The head with its withheld labels shown at 0.5: the card says how poor they are."""
    labels = tuple(
        label.model_copy(update={"threshold": 0.5}) if label.withheld else label
        for label in head.labels
    )
    return head.model_copy(update={"labels": labels})
