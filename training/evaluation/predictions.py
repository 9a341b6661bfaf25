"""Radiographs as evaluation sees them: source pixels, the truth, and what the trunk makes of them.

table row -> radiograph.preprocess -> batches -> trunk -> features, raw outputs of the heads
          -> masks and boxes in source pixels, as far as they are annotated

They come one by one, and whoever measures keeps figures of them, not the radiographs: a split of
25,000 takes no more memory than a few batches.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import InputError
from radiograph.geometry import Box, Geometry
from radiograph.limits import as_malformed_input
from radiograph.manifest import HeadSpec
from radiograph.postprocess import heads
from radiograph.preprocess import preprocess
from radiograph.readers.read import read as read_radiograph
from training.data.batches.prefetch import read_ahead
from training.data.catalog import open_reader
from training.data.rows.labels import complete_boxes
from training.data.rows.masks import BOX_SOURCES, LUNGS, MASK_SOURCES, read_mask, split_lungs
from training.data.rows.reader import Reader, Row
from training.evaluation.trained_model import Raw, TrainedModel
from training.metrics import BoxesOfImage
from training.metrics.arrays import FloatArray
from training.progress import track


@dataclass(frozen=True)
class Prediction:
    """One radiograph, what is known of it, and what the trunk makes of it.

    Attributes:
        masks: structure -> rows x columns bool; counted: False where it is not annotated.
        boxes: label -> boxes in source pixels; a label is missing where it is not known.
        features: the trunk's outputs that heads with phrases read, batch axis 1.
        outputs: head -> its raw outputs, of heads without phrases.
    """

    row: Row
    geometry: Geometry
    masks: dict[str, NDArray[np.bool_]]
    counted: NDArray[np.bool_]
    boxes: dict[str, list[Box]]
    features: dict[str, FloatArray]
    outputs: dict[str, Raw] = field(default_factory=dict)

    @property
    def thin(self) -> "Prediction":
        """Without what takes memory, but for `global_features`."""
        kept = {"global_features": self.features["global_features"]}
        return replace(self, masks={}, boxes={}, counted=_NOTHING, features=kept, outputs={})


_NOTHING: NDArray[np.bool_] = np.zeros((0, 0), dtype=bool)
BATCH = 16
"""Radiographs that the trunk sees at once."""


def predict_split(
    model: TrainedModel,
    split: str,
    licences: Sequence[str],
    limit: int | None = None,
    batch_size: int = BATCH,
) -> Iterator[Prediction]:
    """Read and run the frontal radiographs of one split.

    One that cannot be read is left out, as of the cache that training reads, and named on the
    terminal.

    Args:
        model: whose trunk runs.
        split: train, valid or test.
        licences: licence classes of the rows. Measuring may use more than training.
        limit: at most so many rows of each table, evenly spread.
        batch_size: radiographs that the trunk sees at once; memory grows with it, not with the
            split.
    """
    data = model.config.data
    for name in data.tables:
        table = open_reader(data.root, name, data.protocol)
        rows = [
            row
            for row in table.rows()
            if row.split == split and row.licence_class in licences and not row.reason_left_out
        ]
        step = max(1, len(rows) // limit) if limit else 1
        reader = _OneAtATime(table)
        read = partial(_read, reader, model)
        workers = model.config.engine.workers
        tried = read_ahead(read, track(rows[::step], f"{split} of {name}"), workers, batch_size)
        ahead = (item for item in tried if item is not None)
        while batch := list(islice(ahead, batch_size)):
            yield from _look(model, batch)


class _OneAtATime:
    """A reader that threads share: an open tar has one position."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self._lock = reader, Lock()

    def read(self, path: str) -> bytes:
        with self._lock:
            return self._reader.read(path)


def _read(
    table: _OneAtATime, model: TrainedModel, row: Row
) -> tuple[Prediction, FloatArray] | None:
    """What is known of a row, and the model's input: 1 x S x S; None where it cannot be read."""
    try:
        with as_malformed_input("the image cannot be used"):
            radiograph = read_radiograph(table.read(row.image))
            tensor, geometry = preprocess(radiograph, model.config.preprocess)
        masks, counted = _true_masks(table, row, geometry)
    except (InputError, OSError) as error:
        print(f"left out, {row.table} {row.image}: {error}", file=sys.stderr)
        return None
    return Prediction(row, geometry, masks, counted, _true_boxes(row, masks), {}), tensor


def _look(
    model: TrainedModel, batch: Sequence[tuple[Prediction, FloatArray]]
) -> Iterator[Prediction]:
    features, outputs = model.look(np.stack([tensor for _, tensor in batch]))
    for n, (seen, _) in enumerate(batch):
        yield replace(
            seen,
            features={name: value[n : n + 1] for name, value in features.items()},
            outputs={
                head: {name: value[n] for name, value in raw.items()}
                for head, raw in outputs.items()
            },
        )


def _true_masks(
    table: _OneAtATime, row: Row, geometry: Geometry
) -> tuple[dict[str, NDArray[np.bool_]], NDArray[np.bool_]]:
    counted = np.ones((geometry.rows, geometry.columns), dtype=bool)
    found: dict[str, NDArray[np.bool_]] = {}
    raw = {
        name: read_mask(table.read(path))
        for name, path in row.masks.items()
        if name in MASK_SOURCES
    }
    named = [(MASK_SOURCES[name], mask) for name, mask in raw.items()]
    if row.lung_mask and not set(LUNGS) <= {name for name, _ in named}:
        upright = geometry.orientation.turn(read_mask(table.read(row.lung_mask)))
        sides = split_lungs(upright) or {}
        named += [(name, geometry.orientation.turn_back(mask)) for name, mask in sides.items()]
    for name, mask in named:
        if mask.shape != counted.shape:
            continue  # another resolution than the image: not a truth in its pixels
        inside = mask > 191
        found[name] = found[name] | inside if name in found else inside
        counted &= (mask < 64) | inside
    drawn = {name for name, _ in named}
    found |= {name: np.zeros_like(counted) for name in row.complete if name not in drawn}
    return found, counted


def _true_boxes(row: Row, masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, list[Box]]:
    """As in training: the bounds of a mask where there is one, else the drawn boxes."""
    boxes: dict[str, list[Box]] = {label: [] for label in complete_boxes(row)}
    for source, box in row.boxes:
        if label := BOX_SOURCES.get(source):
            boxes.setdefault(label, []).append(box)
    for name in LUNGS:
        if name in masks and masks[name].any():
            rows, columns = np.nonzero(masks[name])
            boxes[name] = [(columns.min(), rows.min(), columns.max() + 1.0, rows.max() + 1.0)]
    return boxes


def head_output(model: TrainedModel, name: str, seen: Prediction) -> Raw:
    """Raw outputs of a head that needs no phrase, for one image; from its batch where they are."""
    if name in seen.outputs:
        return seen.outputs[name]
    return {key: value[0] for key, value in model.head(name, seen.features).items()}


def detections(
    model: TrainedModel, head: tuple[str, HeadSpec], images: Sequence[Prediction]
) -> dict[str, list[BoxesOfImage | None]]:
    """Label -> for each image its boxes down to a low score; None where the truth is not known."""
    name, spec = head
    low = spec.model_copy(
        update={"labels": tuple(x.model_copy(update={"threshold": 0.05}) for x in spec.labels)}
    )
    found: dict[str, list[BoxesOfImage | None]] = {label.name: [] for label in spec.labels}
    for seen in images:
        answer = heads.detect(low, head_output(model, name, seen), seen.geometry)
        for label in spec.labels:
            if label.name not in seen.boxes:
                found[label.name].append(None)
                continue
            mine = [a for a in answer if a.name == label.name]
            found[label.name].append(
                BoxesOfImage(
                    tuple(a.score for a in mine),
                    tuple(a.box for a in mine),
                    tuple(seen.boxes[label.name]),
                )
            )
    return found
