"""Heads: the raw outputs of one image become results in source pixels.

    logits -> (/ temperature, sigmoid) -> probabilities -> Geometry -> Finding | Mask
                                                                     | Detection | Grounding

The service and the evaluation both call it, so a figure in a model card is about what the
service answers. Everything here is numpy; the raw outputs are those of `HeadSpec` without
their batch axis. Boxes are (x0, y0, x1, y1) in source pixels, origin top left, half-open.

A raw output that is missing, misshapen or not finite is the version's fault and raises
`InvalidVersion`, so no result ever holds NaN or infinity.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import InvalidVersion
from radiograph.geometry import Box, Geometry
from radiograph.manifest import HeadSpec, Label
from radiograph.postprocess.activations import sigmoid
from radiograph.postprocess.boxes import Floats, bounds, suppress_overlapping
from radiograph.postprocess.mask_upsampling import reach
from radiograph.terminology import Code

Outputs = Mapping[str, NDArray[np.float32]]

MAX_CANDIDATES = 1000
"""Boxes of one label that enter non-maximum suppression, best first; bounds its time."""

LIKELY_PRESENT = 0.5
"""A phrase whose similarity is below it gets a heat map and a peak, but no box."""


@dataclass(frozen=True)
class Finding:
    """One label of a classification.

    Attributes:
        name: the label.
        code: its code, or None when it has none.
        probability: calibrated, 0 to 1.
        threshold: from it on the finding counts as positive.
        positive: whether `probability` reaches `threshold`.
    """

    name: str
    code: Code | None
    probability: float
    threshold: float
    positive: bool


@dataclass(frozen=True, eq=False)
class Mask:
    """One structure or finding, pixel by pixel. Not compared by value: it holds an array.

    Attributes:
        name: the label.
        code: its code, or None when it has none.
        mask: rows x columns of the source, bool.
        area_px: source pixels in the mask.
        area_mm2: the same area, or None when the pixel spacing is not known.
        box: the smallest box around the mask, or None when the mask is empty.
    """

    name: str
    code: Code | None
    mask: NDArray[np.bool_]
    area_px: int
    area_mm2: float | None
    box: Box | None


@dataclass(frozen=True)
class Detection:
    """One box of one label.

    Attributes:
        name: the label.
        code: its code, or None when it has none.
        score: calibrated probability, 0 to 1.
        box: inside the image, never empty.
    """

    name: str
    code: Code | None
    score: float
    box: Box


@dataclass(frozen=True, eq=False)
class Grounding:
    """Where a phrase is in the image. Not compared by value: it holds an array.

    Attributes:
        phrase: as it was asked.
        method: `aligned` or `zero_shot`.
        similarity: 0 to 1, how likely the phrase is in the image at all.
        heatmap: h x w, float32, 0 to 1; the model's own grid without its padding.
        peak: (x, y), centre of the best cell, or None when the map is flat.
        box: around the cells that are connected with the peak (by their edges) and reach
            half of its value, or None when the map is flat or `similarity` is below
            `LIKELY_PRESENT`.
    """

    phrase: str
    method: str
    similarity: float
    heatmap: NDArray[np.float32]
    peak: tuple[float, float] | None
    box: Box | None


def classify(head: HeadSpec, outputs: Outputs) -> tuple[Finding, ...]:
    """Labels with calibrated probabilities, in the manifest's order.

    Args:
        head: a head of kind `classify` with K labels.
        outputs: `logits`, K.

    Raises:
        InvalidVersion: the output does not fit the head, or is not finite.
    """
    logits = _output(outputs, "logits", (len(head.labels),))
    probabilities = sigmoid(logits, head.temperature).tolist()
    return tuple(
        Finding(label.name, label.code, p, label.threshold, p >= label.threshold)
        for label, p in zip(head.labels, probabilities, strict=True)
    )


def segment(
    head: HeadSpec,
    outputs: Outputs,
    geometry: Geometry,
    spacing_mm: tuple[float, float] | None,
) -> tuple[Mask, ...]:
    """One mask for each label that is not withheld, at the size of the source.

    Probabilities, not logits, are resampled: their range is bounded, so one extreme cell
    cannot move the edge far into its neighbours.

    Args:
        head: a head of kind `segment` with K labels.
        outputs: `logits`, K x h x w over the whole square grid.
        geometry: the way back to source pixels.
        spacing_mm: (between rows, between columns), or None.

    Raises:
        InvalidVersion: the output does not fit the head, or is not finite.
    """
    logits = _output(outputs, "logits", (len(head.labels), None, None))
    return tuple(
        _mask(label, *reach(_map(grid, head.temperature), label.threshold, geometry), spacing_mm)
        for label, grid in zip(head.labels, logits, strict=True)
        if not label.withheld
    )


def _map(logits: Floats, temperature: float) -> NDArray[np.float32]:
    """Probabilities of one label, h x w."""
    return sigmoid(logits, temperature).astype(np.float32)


def detect(head: HeadSpec, outputs: Outputs, geometry: Geometry) -> tuple[Detection, ...]:
    """Boxes that reach their label's threshold, best first, the overlapping ones dropped.

    Nothing is found in the padding: only cells of a grid whose centre lies in the image count,
    and of candidates only boxes whose own centre does.

    Args:
        head: a head of kind `detect` with K labels.
        outputs: of the form `grid` `logits`, K x h x w, and `distances`, K x 4 x h x w; of the
            form `candidates` `logits`, K x N, and `boxes`, N x 4.
        geometry: the way back to source pixels.

    Raises:
        InvalidVersion: an output does not fit the head, or is not finite.
    """
    raw = _candidates if head.form == "candidates" else _cells
    logits, boxes = raw(len(head.labels), outputs, geometry)
    scores = sigmoid(logits, head.temperature)
    found = [
        detection
        for label, score, box in zip(head.labels, scores, boxes, strict=True)
        if not label.withheld
        for detection in _detect_label(label, score, box, geometry, head.nms_iou)
    ]
    return tuple(sorted(found, key=lambda detection: -detection.score))


def ground(
    head: HeadSpec, outputs: Outputs, phrases: Sequence[str], geometry: Geometry
) -> tuple[Grounding, ...]:
    """Where each phrase is, in the order asked.

    Args:
        head: a head of kind `ground`.
        outputs: `logits`, P x h x w over the whole square grid, and `presence`, P.
        phrases: the P phrases.
        geometry: the way back to source pixels.

    Raises:
        InvalidVersion: an output does not fit the phrases, or is not finite.
    """
    logits = _output(outputs, "logits", (len(phrases), None, None))
    presence = _output(outputs, "presence", (len(phrases),))
    similarities = sigmoid(presence, head.temperature).tolist()
    return tuple(
        _grounding(phrase, head, similarity, grid, geometry)
        for phrase, similarity, grid in zip(phrases, similarities, logits, strict=True)
    )


def _output(outputs: Outputs, name: str, shape: tuple[int | None, ...]) -> Floats:
    """One raw output as float64; None in `shape` is any length but zero."""
    if name not in outputs:
        raise InvalidVersion(f"the head gives no `{name}`")
    array = np.asarray(outputs[name], dtype=np.float64)
    fits = array.ndim == len(shape) and all(
        got == want if want is not None else got > 0
        for got, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise InvalidVersion(f"`{name}` has shape {array.shape}, not {shape}")
    if not np.isfinite(array).all():
        raise InvalidVersion(f"`{name}` is not finite")
    return array


def _mask(
    label: Label,
    mask: NDArray[np.bool_],
    window: tuple[slice, slice],
    spacing_mm: tuple[float, float] | None,
) -> Mask:
    """A mask that is empty outside of a window of rows and columns."""
    inside = mask[window]
    area_px = int(np.count_nonzero(inside))
    area_mm2 = None if spacing_mm is None else area_px * spacing_mm[0] * spacing_mm[1]
    box = bounds(inside)
    if box is not None:
        left, top = window[1].start, window[0].start
        box = (box[0] + left, box[1] + top, box[2] + left, box[3] + top)
    return Mask(label.name, label.code, mask, area_px, area_mm2, box)


def _centre(row: float, column: float, shape: tuple[int, ...], size: int) -> tuple[float, float]:
    """Cell of an h x w map over the whole square -> (x, y) of its centre on the grid."""
    return (column + 0.5) * size / shape[1], (row + 0.5) * size / shape[0]


def _cells(count: int, outputs: Outputs, geometry: Geometry) -> tuple[Floats, Floats]:
    """Of the n cells inside the image logits, K x n, and boxes in grid pixels, K x n x 4."""
    logits = _output(outputs, "logits", (count, None, None))
    distances = _output(outputs, "distances", (count, 4, *logits.shape[1:]))
    rows, columns = geometry.cells(*logits.shape[1:])
    height, width = logits.shape[1:]
    y, x = np.mgrid[rows, columns] + 0.5
    x, y = x * geometry.size / width, y * geometry.size / height
    left, top, right, bottom = np.moveaxis(distances[..., rows, columns] * geometry.size, 1, 0)
    boxes = np.stack([x - left, y - top, x + right, y + bottom], axis=-1)
    return logits[:, rows, columns].reshape(count, -1), boxes.reshape(count, -1, 4)


def _candidates(count: int, outputs: Outputs, geometry: Geometry) -> tuple[Floats, Floats]:
    """The same of the candidates whose centre lies in the image; they may be none."""
    logits = _output(outputs, "logits", (count, None))
    boxes = _output(outputs, "boxes", (logits.shape[1], 4)) * geometry.size
    x, y = (boxes[:, :2] / 2 + boxes[:, 2:] / 2).T  # halves first: no sum of them overflows
    inside = (geometry.left <= x) & (x < geometry.left + geometry.width)
    inside &= (geometry.top <= y) & (y < geometry.top + geometry.height)
    return logits[:, inside], np.broadcast_to(boxes[inside], (count, int(inside.sum()), 4))


def _detect_label(
    label: Label, scores: Floats, boxes: Floats, geometry: Geometry, nms_iou: float
) -> list[Detection]:
    """Detections of one label, best first: scores n, boxes in grid pixels n x 4."""
    best = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    kept, found = [], []
    for i in best[scores[best] >= label.threshold].tolist():
        x0, y0, x1, y1 = boxes[i].tolist()
        box = geometry.box_to_source((x0, y0, x1, y1))
        if box[0] < box[2] and box[1] < box[3]:
            kept.append(box)
            found.append(Detection(label.name, label.code, float(scores[i]), box))
    return [found[i] for i in suppress_overlapping(np.array(kept).reshape(-1, 4), nms_iou)]


def _grounding(
    phrase: str, head: HeadSpec, similarity: float, logits: Floats, geometry: Geometry
) -> Grounding:
    """One phrase: `logits` is h x w over the whole square."""
    rows, columns = geometry.cells(*logits.shape)
    inside = logits[rows, columns]
    heatmap = sigmoid(inside, head.temperature).astype(np.float32)
    method = str(head.method)
    if inside.min() == inside.max():
        return Grounding(phrase, method, similarity, heatmap, None, None)
    row, column = (int(i) for i in np.unravel_index(inside.argmax(), inside.shape))
    x, y = _centre(row + rows.start, column + columns.start, logits.shape, geometry.size)
    box = None
    if similarity >= LIKELY_PRESENT:
        region = _connected(heatmap >= heatmap[row, column] / 2, row, column)
        box = _cells_to_source(region, (rows.start, columns.start), logits.shape, geometry)
    return Grounding(phrase, method, similarity, heatmap, _inside(x, y, geometry), box)


def _inside(x: float, y: float, geometry: Geometry) -> tuple[float, float]:
    """A grid point in source coordinates, never past the centre of the outermost pixels."""
    source_x, source_y = geometry.to_source(x, y)
    return (
        min(max(source_x, 0.5), geometry.columns - 0.5),
        min(max(source_y, 0.5), geometry.rows - 0.5),
    )


def _connected(mask: NDArray[np.bool_], row: int, column: int) -> NDArray[np.bool_]:
    """The part of a mask that is connected by cell edges with one of its cells."""
    height, width = mask.shape
    region = np.zeros_like(mask)
    region[row, column] = True
    waiting = [(row, column)]
    while waiting:
        y, x = waiting.pop()
        for beside in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            inside = 0 <= beside[0] < height and 0 <= beside[1] < width
            if inside and mask[beside] and not region[beside]:
                region[beside] = True
                waiting.append(beside)
    return region


def _cells_to_source(
    region: NDArray[np.bool_], start: tuple[int, int], shape: tuple[int, ...], geometry: Geometry
) -> Box | None:
    """The box around cells of a map cropped at `start` from `shape`, in source pixels."""
    cells = bounds(region)
    if cells is None:
        return None
    per_x, per_y = geometry.size / shape[1], geometry.size / shape[0]
    x0, x1 = (start[1] + cells[0]) * per_x, (start[1] + cells[2]) * per_x
    y0, y1 = (start[0] + cells[1]) * per_y, (start[0] + cells[3]) * per_y
    return geometry.box_to_source((x0, y0, x1, y1))
