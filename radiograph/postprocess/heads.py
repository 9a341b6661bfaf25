"""Post-processing of heads: the raw outputs of one image become results in source pixels.

    logits -> (/ temperature, sigmoid) -> probabilities -> Geometry -> Finding | Mask
                                                                     | Detection | Grounding

Islands and holes of masks are removed in between, where the manifest asks for it.

The service and the evaluation both use these functions, so a figure in a model card describes
the answers of the service. Raw outputs are the NumPy arrays of `HeadSpec` without their batch
axis. Boxes are (x0, y0, x1, y1) in source pixels, origin top left, half-open.

A raw output that is missing, of a wrong shape or not finite is a fault of the model version and
raises `InvalidVersion`, so no result ever holds NaN or infinity.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import InvalidVersion
from radiograph.geometry.geometry import Box, Geometry
from radiograph.manifest import HeadSpec, Label
from radiograph.postprocess.activations import sigmoid
from radiograph.postprocess.boxes import Floats, bounds, suppress_overlapping
from radiograph.postprocess.components import clean_map
from radiograph.postprocess.grounding import Grounding, locate
from radiograph.postprocess.mask_upsampling import threshold_at_source
from radiograph.terminology.codes import Code

Outputs = Mapping[str, NDArray[np.float32]]

MAX_CANDIDATES = 1000
"""Number of boxes of one label that enter non-maximum suppression, which bounds its time."""


@dataclass(frozen=True)
class Finding:
    """One label of a classification.

    Attributes:
        name: the label.
        code: its code, or None if it has none.
        probability: calibrated, 0 to 1.
        threshold: the lowest probability that counts as positive.
        positive: True if `probability` reaches `threshold` and, of a subtype, the finding that it
            is a subtype of is positive too.
        subtype_of: name of that finding, or None.
    """

    name: str
    code: Code | None
    probability: float
    threshold: float
    positive: bool
    subtype_of: str | None = None


@dataclass(frozen=True, eq=False)
class Mask:
    """The mask of one structure or finding. Not compared by value, for it holds an array.

    Attributes:
        name: the label.
        code: its code, or None if it has none.
        mask: rows x columns of the source, bool.
        area_px: number of source pixels in the mask.
        area_mm2: the same area, or None if the pixel spacing is unknown.
        box: the smallest box around the mask, or None if the mask is empty.
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
        code: its code, or None if it has none.
        score: calibrated probability, 0 to 1.
        box: inside the image, never empty.
    """

    name: str
    code: Code | None
    score: float
    box: Box


def classify(head: HeadSpec, outputs: Outputs) -> tuple[Finding, ...]:
    """Return the labels with calibrated probabilities that are not withheld, in manifest order.

    Args:
        head: a head of kind `classify` with K labels.
        outputs: `logits`, K.

    Raises:
        InvalidVersion: the output does not match the head, or is not finite.
    """
    logits = _output(outputs, "logits", (len(head.labels),))
    probabilities = sigmoid(logits, head.temperature)
    decisions = positive(head, probabilities).tolist()
    return tuple(
        Finding(label.name, label.code, p, label.threshold, decision, label.subtype_of)
        for label, p, decision in zip(head.labels, probabilities.tolist(), decisions, strict=True)
        if not label.withheld
    )


def positive(head: HeadSpec, probabilities: Floats) -> NDArray[np.bool_]:
    """Return which labels are positive, by the thresholds and the subtypes of a head.

    Each label has a threshold of its own, so that a subtype may reach its threshold where the
    finding that it is a subtype of does not reach its own. The subtype is negative then. Its
    probability stays as the model gives it, because lowering it would not be calibrated. A finding
    that is withheld is not answered, so it cannot be contradicted and rules out no subtype.

    Args:
        head: a head of kind `classify` or `check` with K labels.
        probabilities: calibrated, ... x K.

    Returns:
        ... x K, bool.
    """
    found = probabilities >= np.array([label.threshold for label in head.labels])
    places = {label.name: place for place, label in enumerate(head.labels)}
    for place, label in enumerate(head.labels):
        if label.subtype_of is None:
            continue
        supertype = places[label.subtype_of]
        if not head.labels[supertype].withheld:
            found[..., place] &= found[..., supertype]
    return found


def segment(
    head: HeadSpec,
    outputs: Outputs,
    geometry: Geometry,
    spacing_mm: tuple[float, float] | None,
) -> tuple[Mask, ...]:
    """Return one mask for each label that is not withheld, at the size of the source.

    Probabilities are resampled instead of logits: their range is bounded, so one extreme cell
    cannot move an edge far into its neighbours.

    Args:
        head: a head of kind `segment` with K labels.
        outputs: `logits`, K x h x w over the whole square grid.
        geometry: the way back to source pixels.
        spacing_mm: (between rows, between columns), or None.

    Raises:
        InvalidVersion: the output does not match the head, or is not finite.
    """
    logits = _output(outputs, "logits", (len(head.labels), None, None))
    return tuple(
        _mask(label, grid, head.temperature, geometry, spacing_mm)
        for label, grid in zip(head.labels, logits, strict=True)
        if not label.withheld
    )


def mask_at_source(
    probabilities: NDArray[np.float32], label: Label, geometry: Geometry
) -> tuple[NDArray[np.bool_], tuple[slice, slice]]:
    """Return the mask of a label as it is served: cleaned on the grid, exact in source pixels.

    Args:
        probabilities: h x w, float32, over the whole square grid.
        label: its threshold and cleaning.
        geometry: the way back to source pixels.

    Returns:
        mask: rows x columns, bool.
        window: rows and columns outside of which the mask is empty.
    """
    cleaned = clean_map(probabilities, label.threshold, label.clean, geometry)
    return threshold_at_source(cleaned, label.threshold, geometry)


def detect(head: HeadSpec, outputs: Outputs, geometry: Geometry) -> tuple[Detection, ...]:
    """Return the boxes that reach the threshold of their label, best first.

    Boxes of one label that overlap a better one too much are dropped. Nothing is detected in
    the padding: a cell of a grid counts only if its centre lies in the image, and a candidate
    only if the centre of its box does.

    Args:
        head: a head of kind `detect` with K labels.
        outputs: `logits`, K x h x w, and `distances`, K x 4 x h x w, if the form is `grid`;
            `logits`, K x N, and `boxes`, N x 4, if the form is `candidates`.
        geometry: the way back to source pixels.

    Raises:
        InvalidVersion: an output does not match the head, or is not finite.
    """
    read = _candidates if head.form == "candidates" else _cells
    logits, boxes = read(len(head.labels), outputs, geometry)  # K x n, K x n x 4
    scores = sigmoid(logits, head.temperature)
    detections = [
        detection
        for label, score, box in zip(head.labels, scores, boxes, strict=True)
        if not label.withheld
        for detection in _detect_label(label, score, box, geometry, head.nms_iou)
    ]
    return tuple(sorted(detections, key=lambda detection: -detection.score))


def ground(
    head: HeadSpec, outputs: Outputs, phrases: Sequence[str], geometry: Geometry
) -> tuple[Grounding, ...]:
    """Locate each phrase, in the order of the request.

    Args:
        head: a head of kind `ground`.
        outputs: `logits`, P x h x w over the whole square grid, and `presence`, P.
        phrases: the P phrases.
        geometry: the way back to source pixels.

    Raises:
        InvalidVersion: an output does not match the phrases, or is not finite.
    """
    logits = _output(outputs, "logits", (len(phrases), None, None))
    presence = _output(outputs, "presence", (len(phrases),))
    return tuple(
        locate(phrase, head, logit, grid, geometry)
        for phrase, logit, grid in zip(phrases, presence, logits, strict=True)
    )


def _output(outputs: Outputs, name: str, shape: tuple[int | None, ...]) -> Floats:
    """Return one raw output as float64; None in `shape` stands for any length but zero."""
    if name not in outputs:
        raise InvalidVersion(f"the head gives no `{name}`")
    array = np.asarray(outputs[name], dtype=np.float64)
    fits = array.ndim == len(shape) and all(
        length == expected if expected is not None else length > 0
        for length, expected in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise InvalidVersion(f"`{name}` has shape {array.shape}, not {shape}")
    if not np.isfinite(array).all():
        raise InvalidVersion(f"`{name}` is not finite")
    return array


def _mask(
    label: Label,
    logits: Floats,
    temperature: float,
    geometry: Geometry,
    spacing_mm: tuple[float, float] | None,
) -> Mask:
    """Return the mask of one label from its logits, h x w over the whole square."""
    probabilities = sigmoid(logits, temperature).astype(np.float32)
    mask, window = mask_at_source(probabilities, label, geometry)
    inside = mask[window]  # the mask is empty outside of the window
    area_px = int(np.count_nonzero(inside))
    area_mm2 = None if spacing_mm is None else area_px * spacing_mm[0] * spacing_mm[1]
    box = bounds(inside)
    if box is not None:
        left, top = window[1].start, window[0].start
        box = (box[0] + left, box[1] + top, box[2] + left, box[3] + top)
    return Mask(label.name, label.code, mask, area_px, area_mm2, box)


def _cells(count: int, outputs: Outputs, geometry: Geometry) -> tuple[Floats, Floats]:
    """Read the raw outputs of the form `grid` for the n cells inside the image.

    Returns:
        logits: K x n.
        boxes: K x n x 4, in grid pixels.
    """
    logits = _output(outputs, "logits", (count, None, None))
    distances = _output(outputs, "distances", (count, 4, *logits.shape[1:]))
    rows, columns = geometry.cells(*logits.shape[1:])
    height, width = logits.shape[1:]
    y, x = np.mgrid[rows, columns] + 0.5  # centres of the cells
    x, y = x * geometry.size / width, y * geometry.size / height
    # Distances from the centre to the four edges are given in sides of the square.
    left, top, right, bottom = np.moveaxis(distances[..., rows, columns] * geometry.size, 1, 0)
    boxes = np.stack([x - left, y - top, x + right, y + bottom], axis=-1)
    return logits[:, rows, columns].reshape(count, -1), boxes.reshape(count, -1, 4)


def _candidates(count: int, outputs: Outputs, geometry: Geometry) -> tuple[Floats, Floats]:
    """Read the raw outputs of the form `candidates` for the n boxes centred in the image.

    Returns:
        logits: K x n; n may be 0.
        boxes: K x n x 4, in grid pixels, the same for every label.
    """
    logits = _output(outputs, "logits", (count, None))
    boxes = _output(outputs, "boxes", (logits.shape[1], 4)) * geometry.size
    x, y = (
        boxes[:, :2] / 2 + boxes[:, 2:] / 2
    ).T  # centres; halved first, so that the sum cannot overflow
    inside = (geometry.left <= x) & (x < geometry.left + geometry.width)
    inside &= (geometry.top <= y) & (y < geometry.top + geometry.height)
    return logits[:, inside], np.broadcast_to(boxes[inside], (count, int(inside.sum()), 4))


def _detect_label(
    label: Label, scores: Floats, boxes: Floats, geometry: Geometry, nms_iou: float
) -> list[Detection]:
    """Return the detections of one label, best first.

    Args:
        label: the label.
        scores: n.
        boxes: n x 4, in grid pixels.
        geometry: the way back to source pixels.
        nms_iou: a box that overlaps a better one by more than this is dropped.
    """
    best = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    detections = []
    for i in best[scores[best] >= label.threshold].tolist():
        x0, y0, x1, y1 = boxes[i].tolist()
        box = geometry.box_to_source((x0, y0, x1, y1))  # clipped to the image
        if box[0] < box[2] and box[1] < box[3]:
            detections.append(Detection(label.name, label.code, float(scores[i]), box))
    in_source = np.array([detection.box for detection in detections]).reshape(-1, 4)
    return [detections[i] for i in suppress_overlapping(in_source, nms_iou)]
