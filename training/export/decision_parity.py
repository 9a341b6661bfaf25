"""Decisions: whether the raw outputs of two runtimes lead to the same answers.

raw outputs of both -> radiograph.postprocess at fixed thresholds -> findings, masks, boxes, phrases

Numbers that differ by a little may lie on either side of a threshold: what is within `NEAR` of
one is no difference.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry import Geometry
from radiograph.manifest import HeadSpec, Task
from radiograph.postprocess import heads
from radiograph.postprocess.heads import Detection, Outputs

NEAR = 1e-3
"""Of a probability, and of a box's edges in sides of the grid."""
THRESHOLDS = {Task.CLASSIFY: 0.5, Task.SEGMENT: 0.5, Task.DETECT: 0.3}


def other_decisions(
    specs: Mapping[str, HeadSpec],
    ours: Mapping[str, NDArray[np.float32]],
    theirs: Mapping[str, NDArray[np.float32]],
    size_px: int,
) -> list[str]:
    """What is decided differently, in words; nothing where all is the same.

    Args:
        specs: heads by name; their thresholds are not looked at.
        ours, theirs: `<head>.<output>` -> raw outputs of the same images, batch axis first.
        size_px: side of the grid.
    """
    grid = Geometry.fit(size_px, size_px, size_px)
    found: list[str] = []
    for name, spec in specs.items():
        images = len(ours[f"{name}.logits"])
        for number in range(images):
            pair = [
                {output: both[f"{name}.{output}"][number] for output in spec.outputs}
                for both in (ours, theirs)
            ]
            found += [f"{name}: {words}" for words in _other(spec, pair[0], pair[1], grid)]
    return found


def _other(head: HeadSpec, ours: Outputs, theirs: Outputs, grid: Geometry) -> list[str]:
    match head.kind:
        case Task.CLASSIFY:
            return _findings(_at(head, 0.0), ours, theirs)
        case Task.SEGMENT:
            return _masks(_at(head, 0.0), ours, theirs, grid)
        case Task.DETECT:
            return [*_boxes(head, ours, theirs, grid), *_boxes(head, theirs, ours, grid)]
        case Task.GROUND:
            return _phrases(head, ours, theirs, grid)


def _at(head: HeadSpec, more: float) -> HeadSpec:
    """The head with every threshold that of its kind, and a little more."""
    threshold = THRESHOLDS[head.kind] + more
    labels = tuple(x.model_copy(update={"threshold": threshold}) for x in head.labels)
    return head.model_copy(update={"labels": labels})


def _findings(head: HeadSpec, ours: Outputs, theirs: Outputs) -> list[str]:
    pairs = zip(heads.classify(head, ours), heads.classify(head, theirs), strict=True)
    return [
        f"{one.name} at {one.probability:.4f} and {other.probability:.4f}"
        for one, other in pairs
        if one.positive != other.positive and abs(one.probability - one.threshold) > NEAR
    ]


def _masks(head: HeadSpec, ours: Outputs, theirs: Outputs, grid: Geometry) -> list[str]:
    """Pixels that are not the same, where the probability is not near the threshold."""
    pairs = zip(
        heads.segment(head, ours, grid, None),
        heads.segment(head, theirs, grid, None),
        ours["logits"],
        strict=True,
    )
    found = []
    for one, other, logits in pairs:
        probability = (0.5 + 0.5 * np.tanh(logits / head.temperature / 2)).astype(np.float32)
        clear = np.abs(grid.map_to_source(probability) - THRESHOLDS[Task.SEGMENT]) > NEAR
        if pixels := int(((one.mask != other.mask) & clear).sum()):
            found.append(f"{one.name} in {pixels} pixels")
    return found


def _boxes(head: HeadSpec, ours: Outputs, theirs: Outputs, grid: Geometry) -> list[str]:
    """Boxes clearly above the threshold that the other side has nowhere."""
    others = heads.detect(_at(head, -NEAR), theirs, grid)
    return [
        f"{one.name} {tuple(round(edge, 2) for edge in one.box)} at {one.score:.4f} is one side's"
        for one in heads.detect(_at(head, NEAR), ours, grid)
        if not _has(others, one, grid.size)
    ]


def _has(others: Sequence[Detection], one: Detection, size: int) -> bool:
    return any(
        other.name == one.name
        and abs(other.score - one.score) <= NEAR
        and np.abs(np.subtract(other.box, one.box)).max() <= NEAR * size
        for other in others
    )


def _phrases(head: HeadSpec, ours: Outputs, theirs: Outputs, grid: Geometry) -> list[str]:
    """Phrases that are in the image for one side only."""
    names = [f"phrase {number}" for number in range(len(ours["presence"]))]
    sides = (heads.ground(head, outputs, names, grid) for outputs in (ours, theirs))
    return [
        f"{one.phrase} at {one.similarity:.4f} and {other.similarity:.4f}"
        for one, other in zip(*sides, strict=True)
        if (one.similarity >= heads.LIKELY_PRESENT) != (other.similarity >= heads.LIKELY_PRESENT)
        and abs(one.similarity - heads.LIKELY_PRESENT) > NEAR
    ]
