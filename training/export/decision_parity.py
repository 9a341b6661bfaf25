"""Parity of decisions: the raw outputs of two runtimes lead to the same answers.

    raw outputs of both -> radiograph.postprocess at fixed thresholds -> decisions -> differences

Two numbers that differ by very little may lie on either side of a threshold. Values within `NEAR`
of a threshold therefore do not count as a difference.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry.geometry import Geometry
from radiograph.manifest import CHECK, HeadKind, HeadSpec, Task
from radiograph.postprocess import heads
from radiograph.postprocess.activations import sigmoid
from radiograph.postprocess.grounding import LIKELY_PRESENT
from radiograph.postprocess.heads import Detection, Outputs

NEAR = 1e-3
"""Tolerance of a probability, and of the edges of a box in sides of the grid."""
THRESHOLDS: Mapping[HeadKind, float] = {
    Task.CLASSIFY: 0.5,
    Task.SEGMENT: 0.5,
    Task.DETECT: 0.3,
    CHECK: 0.5,
}
"""Thresholds of all labels of a head, by its kind."""


def different_decisions(
    specs: Mapping[str, HeadSpec],
    ours: Mapping[str, NDArray[np.float32]],
    theirs: Mapping[str, NDArray[np.float32]],
    size_px: int,
) -> list[str]:
    """Describe every decision that differs; the list is empty if all are the same.

    Args:
        specs: heads by name; their own thresholds are not used.
        ours, theirs: `<head>.<output>` -> raw outputs for the same images, batch axis first.
        size_px: side of the grid.
    """
    grid = Geometry.fit(size_px, size_px, size_px)
    found: list[str] = []
    for name, spec in specs.items():
        images = len(ours[f"{name}.logits"])
        for number in range(images):
            one, other = (
                {output: both[f"{name}.{output}"][number] for output in spec.outputs}
                for both in (ours, theirs)
            )
            found += [f"{name}: {text}" for text in _differences(spec, one, other, grid)]
    return found


def _differences(head: HeadSpec, ours: Outputs, theirs: Outputs, grid: Geometry) -> list[str]:
    """Describe the decisions of one head that differ for one image."""
    match head.kind:
        case Task.CLASSIFY | "check":
            return _findings(_with_threshold(head), ours, theirs)
        case Task.SEGMENT:
            return _masks(_with_threshold(head), ours, theirs, grid)
        case Task.DETECT:
            return [*_boxes(head, ours, theirs, grid), *_boxes(head, theirs, ours, grid)]
        case Task.GROUND:
            return _phrases(head, ours, theirs, grid)


def _with_threshold(head: HeadSpec, offset: float = 0.0) -> HeadSpec:
    """Return the head with the threshold of its kind, plus an offset, for every label.

    Masks are not cleaned: one cell near the threshold may connect or separate a large component,
    whose cells would then all differ. For the same reason the decision on a finding does not
    depend on that on another, of which it is a subtype.
    """
    changes = {"threshold": THRESHOLDS[head.kind] + offset, "clean": None, "subtype_of": None}
    labels = tuple(x.model_copy(update=changes) for x in head.labels)
    return head.model_copy(update={"labels": labels})


def _findings(head: HeadSpec, ours: Outputs, theirs: Outputs) -> list[str]:
    pairs = zip(heads.classify(head, ours), heads.classify(head, theirs), strict=True)
    return [
        f"{one.name} at {one.probability:.4f} and {other.probability:.4f}"
        for one, other in pairs
        if one.positive != other.positive and abs(one.probability - one.threshold) > NEAR
    ]


def _masks(head: HeadSpec, ours: Outputs, theirs: Outputs, grid: Geometry) -> list[str]:
    """Count the pixels that differ although their probability is not near the threshold."""
    pairs = zip(
        heads.segment(head, ours, grid, None),
        heads.segment(head, theirs, grid, None),
        ours["logits"],
        strict=True,
    )
    found = []
    for one, other, logits in pairs:
        probability = grid.map_to_source(sigmoid(logits, head.temperature).astype(np.float32))
        clear = np.abs(probability - THRESHOLDS[Task.SEGMENT]) > NEAR
        if pixels := int(((one.mask != other.mask) & clear).sum()):
            found.append(f"{one.name} in {pixels} pixels")
    return found


def _boxes(head: HeadSpec, ours: Outputs, theirs: Outputs, grid: Geometry) -> list[str]:
    """List the boxes clearly above the threshold that the other side does not have."""
    others = heads.detect(_with_threshold(head, -NEAR), theirs, grid)
    return [
        f"{one.name} {tuple(round(edge, 2) for edge in one.box)} at {one.score:.4f} is one side's"
        for one in heads.detect(_with_threshold(head, NEAR), ours, grid)
        if not _contains(others, one, grid.size)
    ]


def _contains(boxes: Sequence[Detection], box: Detection, size: int) -> bool:
    """Return whether one of the boxes is the given box, within the tolerance."""
    return any(
        other.name == box.name
        and abs(other.score - box.score) <= NEAR
        and np.abs(np.subtract(other.box, box.box)).max() <= NEAR * size
        for other in boxes
    )


def _phrases(head: HeadSpec, ours: Outputs, theirs: Outputs, grid: Geometry) -> list[str]:
    """List the phrases that only one side finds in the image."""
    names = [f"phrase {number}" for number in range(len(ours["presence"]))]
    sides = (heads.ground(head, outputs, names, grid) for outputs in (ours, theirs))
    return [
        f"{one.phrase} at {one.similarity:.4f} and {other.similarity:.4f}"
        for one, other in zip(*sides, strict=True)
        if (one.similarity >= LIKELY_PRESENT) != (other.similarity >= LIKELY_PRESENT)
        and abs(one.similarity - LIKELY_PRESENT) > NEAR
    ]
