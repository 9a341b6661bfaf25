"""Predictions of a run on the radiographs of a split, with the truth in source pixels.

table row -> radiograph.preprocess -> batches -> trunk -> features, raw outputs of the heads
          -> annotated masks and boxes in source pixels

Predictions are yielded one by one, and evaluation keeps figures of them, not the predictions
themselves: a split of 25,000 radiographs needs no more memory than a few batches.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import InputError
from radiograph.geometry.geometry import Box, Geometry
from radiograph.limits import as_malformed_input
from radiograph.manifest import HeadSpec
from radiograph.postprocess import heads
from radiograph.preprocess import preprocess
from radiograph.readers.read import read as read_radiograph
from training.data.annotations.masks import LUNGS, read_mask, split_lungs
from training.data.annotations.shapes import check_box
from training.data.batches.prefetch import read_ahead
from training.data.catalog import open_table
from training.data.rows.reader import Reader, Row
from training.data.rows.selection import Selection
from training.evaluation.trained_model import Raw, TrainedModel
from training.heads.head import PHRASES
from training.metrics import BoxesOfImage
from training.metrics.arrays import FloatArray
from training.progress import track


@dataclass(frozen=True)
class Prediction:
    """One radiograph: its truth, and the outputs of a run.

    Attributes:
        row: row of the data set.
        geometry: relation of the model's grid to source pixels.
        masks: structure -> true mask, rows x columns bool.
        counted: False for pixels that are not annotated, rows x columns.
        boxes: label -> true boxes in source pixels; labels whose boxes are not known are missing.
        features: outputs of the trunk that heads with phrases read, batch axis 1.
        outputs: head -> its raw outputs, for heads without phrases.
    """

    row: Row
    geometry: Geometry
    masks: dict[str, NDArray[np.bool_]]
    counted: NDArray[np.bool_]
    boxes: dict[str, list[Box]]
    features: dict[str, FloatArray]
    outputs: dict[str, Raw] = field(default_factory=dict)

    @property
    def reduced(self) -> "Prediction":
        """The prediction without its large arrays; `global_features` are kept."""
        kept = {"global_features": self.features["global_features"]}
        return replace(self, masks={}, boxes={}, counted=_NO_PIXELS, features=kept, outputs={})


_NO_PIXELS: NDArray[np.bool_] = np.zeros((0, 0), dtype=bool)
BATCH = 16
"""Number of radiographs in a batch of the trunk."""


def predict_split(
    model: TrainedModel,
    split: str,
    licences: Sequence[str],
    limit: int | None = None,
    batch_size: int = BATCH,
) -> Iterator[Prediction]:
    """Read the frontal radiographs of one split and run the trunk and the heads on them.

    See `read_split` for the radiographs and the arguments.
    """
    for batch in read_split(model, split, licences, limit, batch_size):
        yield from batch.predictions(*model.predict(batch.images))


@dataclass(frozen=True, eq=False)
class Batch:
    """Some radiographs of one data set as they were read.

    Attributes:
        images: their input, B x 1 x S x S.
        truths: predictions without any output.
    """

    images: FloatArray
    truths: tuple[Prediction, ...]

    def predictions(
        self, features: Mapping[str, FloatArray], outputs: Mapping[str, Raw]
    ) -> Iterator[Prediction]:
        """Yield the prediction of each image.

        Args:
            features: outputs of the trunk that are kept, batch axis first.
            outputs: head -> its raw outputs, batch axis first.
        """
        for n, truth in enumerate(self.truths):
            yield replace(
                truth,
                features={name: value[n : n + 1] for name, value in features.items()},
                outputs={
                    head: {name: value[n] for name, value in raw.items()}
                    for head, raw in outputs.items()
                },
            )


def read_split(
    model: TrainedModel,
    split: str,
    licences: Sequence[str],
    limit: int | None = None,
    batch_size: int = BATCH,
) -> Iterator[Batch]:
    """Read the frontal radiographs of one split, data set by data set.

    Each image is used once. Radiographs that cannot be read, and copies of a file of the same
    patient, are left out and named on standard error.

    Args:
        model: the run.
        split: train, valid or test.
        licences: licence classes of the rows. Evaluation may use more of them than training.
        limit: largest number of rows of each table, evenly spread.
        batch_size: radiographs in a batch; memory grows with it, not with the split.
    """
    data = model.config.data
    for name in data.tables:
        table = open_table(data, name)
        selection = Selection(data, licences)
        used = [row for row in table.rows() if not selection.reason_left_out(row)]
        rows = [row for row in used if row.split == split]
        step = max(1, len(rows) // limit) if limit else 1
        read = partial(_read, _LockedReader(table), model)
        chosen = track(rows[::step], f"{split} of {name}")
        items = read_ahead(read, chosen, model.config.engine.workers, batch_size)
        readable = _each_image_once(item for item in items if item is not None)
        while batch := list(islice(readable, batch_size)):
            images = np.stack([item.tensor for item in batch])
            yield Batch(images, tuple(item.prediction for item in batch))


def _each_image_once(items: Iterable["_Read"]) -> Iterator["_Read"]:
    """Yield the images of one data set, without those of a patient that repeat an earlier file."""
    seen: set[tuple[str, bytes]] = set()
    for item in items:
        row = item.prediction.row
        key = row.patient_id, item.digest
        if key in seen:
            print(f"left out, {row.table} {row.image}: repeats another image", file=sys.stderr)
        else:
            seen.add(key)
            yield item


class _LockedReader:
    """A reader that threads share; an open tar file has a single position."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self._lock = reader, Lock()

    def read(self, path: str) -> bytes:
        with self._lock:
            return self._reader.read(path)


@dataclass(frozen=True)
class _Read:
    """One radiograph as it was read.

    Attributes:
        prediction: its truth, without any output.
        tensor: its input, 1 x S x S.
        digest: digest of its file.
    """

    prediction: Prediction
    tensor: FloatArray
    digest: bytes


def _read(table: _LockedReader, model: TrainedModel, row: Row) -> _Read | None:
    """Return the truth of a row and its input, or None if the image cannot be read."""
    try:
        data = table.read(row.image)
        with as_malformed_input("the image cannot be used"):
            radiograph = read_radiograph(data)
            tensor, geometry = preprocess(radiograph, model.config.preprocess)
        masks, counted = true_masks(table.read, row, geometry)
        for _, box in row.boxes:
            check_box(box, geometry.rows, geometry.columns)
    except (InputError, OSError) as error:
        print(f"left out, {row.table} {row.image}: {error}", file=sys.stderr)
        return None
    prediction = Prediction(row, geometry, masks, counted, true_boxes(row, masks), {})
    return _Read(prediction, tensor, hashlib.sha256(data).digest())


def true_masks(
    read: Callable[[str], bytes], row: Row, geometry: Geometry
) -> tuple[dict[str, NDArray[np.bool_]], NDArray[np.bool_]]:
    """Return the masks of a row in source pixels, and which pixels are annotated.

    Args:
        read: reads a file of the data set.
        row: row of the data set.
        geometry: size of the image.

    Returns:
        Structure -> rows x columns bool; and rows x columns bool, False where a mask is ambiguous.
    """
    counted = np.ones((geometry.rows, geometry.columns), dtype=bool)
    found: dict[str, NDArray[np.bool_]] = {}
    named = [(name, read_mask(read(path))) for name, paths in row.masks.items() for path in paths]
    if row.lung_mask and not set(LUNGS) <= {name for name, _ in named}:
        # "left" is decided in the upright image; the masks are kept as the file stores them
        upright = geometry.orientation.turn(read_mask(read(row.lung_mask)))
        sides = split_lungs(upright) or {}
        named += [(name, geometry.orientation.turn_back(mask)) for name, mask in sides.items()]
    for name, mask in named:
        if mask.shape != counted.shape:
            continue  # another resolution than the image: not a truth in its pixels
        inside = mask > 191
        found[name] = found[name] | inside if name in found else inside
        counted &= (mask < 64) | inside
    drawn = {name for name, _ in named}
    found |= {name: np.zeros_like(counted) for name in row.complete_masks if name not in drawn}
    return found, counted


def true_boxes(row: Row, masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, list[Box]]:
    """Return the boxes of training: the bounds of a mask where there is one, else drawn boxes."""
    boxes: dict[str, list[Box]] = {label: [] for label in row.complete_boxes}
    for label, box in row.boxes:
        boxes.setdefault(label, []).append(box)
    for name in row.organs:
        if name in masks and masks[name].any():
            rows, columns = np.nonzero(masks[name])
            boxes[name] = [(columns.min(), rows.min(), columns.max() + 1.0, rows.max() + 1.0)]
    return boxes


@dataclass(frozen=True)
class EvaluatedHead:
    """A head of a run, with the manifest entry by which its outputs are read.

    Attributes:
        model: the run.
        name: name of the head.
        spec: manifest entry, before or after calibration.
    """

    model: TrainedModel
    name: str
    spec: HeadSpec

    @property
    def with_withheld(self) -> "EvaluatedHead":
        """The head with a threshold of 0.5 for withheld labels, which are measured as well.

        They rule out no subtype, as in the service.
        """
        withheld = {label.name for label in self.spec.labels if label.withheld}
        labels = []
        for label in self.spec.labels:
            free = {"subtype_of": None} if label.subtype_of in withheld else {}
            measured = {"threshold": 0.5} if label.withheld else {}
            labels.append(label.model_copy(update=free | measured))
        return replace(self, spec=self.spec.model_copy(update={"labels": tuple(labels)}))

    def outputs(self, prediction: Prediction) -> Raw:
        """Return the raw outputs of a head without phrases, from the batch where it has them."""
        if self.name in prediction.outputs:
            return prediction.outputs[self.name]
        raw = self.model.head(self.name, prediction.features)
        return {key: value[0] for key, value in raw.items()}

    def phrase_outputs(self, prediction: Prediction, phrases: FloatArray) -> Raw:
        """Return the raw outputs of a head with phrases.

        Args:
            prediction: the radiograph.
            phrases: P x D features of the phrases.
        """
        raw = self.model.head(self.name, prediction.features | {PHRASES: phrases})
        return {key: value[0] for key, value in raw.items()}

    def detections(self, prediction: Prediction) -> dict[str, BoxesOfImage]:
        """Return the boxes of each label whose truth is known, down to a low score."""
        low = tuple(label.model_copy(update={"threshold": 0.05}) for label in self.spec.labels)
        spec = self.spec.model_copy(update={"labels": low})
        found = heads.detect(spec, self.outputs(prediction), prediction.geometry)
        boxes: dict[str, BoxesOfImage] = {}
        for label in self.spec.labels:
            if label.name in prediction.boxes:
                mine = [box for box in found if box.name == label.name]
                boxes[label.name] = BoxesOfImage(
                    tuple(box.score for box in mine),
                    tuple(box.box for box in mine),
                    tuple(prediction.boxes[label.name]),
                )
        return boxes
