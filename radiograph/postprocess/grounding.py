"""Location of one phrase: its presence, its peak, and its boxes in source pixels.

    presence logit --`PhraseRule`--> probability --below the threshold--> not found: no peak, no box
    map --connected cells above a threshold--> boxes, strongest first --Geometry--> source pixels

A version without a `PhraseRule` does not decide: it gives the peak of every map that is not flat,
and at most one box, around the cells that are connected to the peak and reach half of its value.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry.geometry import Box, Geometry
from radiograph.manifest import HeadSpec, PhraseRule
from radiograph.postprocess.activations import sigmoid
from radiograph.postprocess.boxes import Floats
from radiograph.postprocess.components import Bools, find_components

LIKELY_PRESENT = 0.5
"""Similarity below which a phrase gets no box, of a version that does not decide."""
_PART_OF_PEAK = 0.5
"""Part of the peak that the cells of a box reach, of a version that does not decide."""


@dataclass(frozen=True)
class Presence:
    """Decision on one phrase.

    Attributes:
        probability: calibrated probability that the image shows the phrase, 0 to 1.
        threshold: the lowest probability at which a phrase counts as found.
    """

    probability: float
    threshold: float

    @property
    def found(self) -> bool:
        """True if the probability reaches the threshold."""
        return self.probability >= self.threshold


@dataclass(frozen=True)
class PhraseBox:
    """One place of a phrase.

    Attributes:
        box: inside the image, never empty.
        score: the highest value of the heat map in it, 0 to 1.
    """

    box: Box
    score: float


@dataclass(frozen=True, eq=False)
class Grounding:
    """The location of a phrase in the image. Not compared by value, for it holds an array.

    Attributes:
        phrase: as requested.
        method: `aligned` or `zero_shot`.
        similarity: 0 to 1, how likely the phrase applies to the image, as the head says it.
        heatmap: h x w, float32, 0 to 1, on the grid of the model without its padding.
        peak: (x, y), centre of the cell with the highest value, or None if the map is flat or the
            phrase was not found.
        boxes: around connected cells, the one with the peak first; none if the map is flat or the
            phrase was not found.
        presence: the decision, or None if the version makes none.
    """

    phrase: str
    method: str
    similarity: float
    heatmap: NDArray[np.float32]
    peak: tuple[float, float] | None = None
    boxes: tuple[PhraseBox, ...] = ()
    presence: Presence | None = None

    @property
    def box(self) -> Box | None:
        """The first of the boxes, or None if there is none."""
        return self.boxes[0].box if self.boxes else None


def locate(
    phrase: str, head: HeadSpec, presence_logit: Floats, logits: Floats, geometry: Geometry
) -> Grounding:
    """Locate one phrase.

    Args:
        phrase: as requested.
        head: a head of kind `ground`.
        presence_logit: a single number; finite.
        logits: h x w over the whole square grid; finite.
        geometry: the way back to source pixels.
    """
    rows, columns = geometry.cells(*logits.shape)
    inside = logits[rows, columns]
    heatmap = sigmoid(inside, head.temperature).astype(np.float32)
    similarity = float(sigmoid(presence_logit, head.temperature))
    presence = _presence(head.phrase_rule, presence_logit)
    peak: tuple[float, float] | None = None
    boxes: tuple[PhraseBox, ...] = ()
    if inside.min() < inside.max() and (presence is None or presence.found):
        grid = _Grid((rows.start, columns.start), logits.shape, geometry)
        row, column = np.unravel_index(inside.argmax(), inside.shape)
        peak = grid.centre(int(row), int(column))
        threshold, most = _box_rule(head.phrase_rule, similarity, float(heatmap.max()))
        boxes = tuple(
            PhraseBox(grid.box(cells), float(heatmap.flat[cells].max()))
            for cells in _strongest(heatmap >= np.float32(threshold), inside, most)
        )
    shown = geometry.over_source(heatmap)
    return Grounding(phrase, str(head.method), similarity, shown, peak, boxes, presence)


def _presence(rule: PhraseRule | None, logit: Floats) -> Presence | None:
    """Return the decision of a rule; None without one."""
    if rule is None:
        return None
    with np.errstate(over="ignore"):  # an infinite logit has the probability 0 or 1
        calibrated = rule.scale * logit + rule.offset
    return Presence(float(sigmoid(calibrated)), rule.threshold)


def _box_rule(rule: PhraseRule | None, similarity: float, highest: float) -> tuple[float, int]:
    """Return the lowest value of a cell in a box, and the largest number of boxes."""
    if rule is not None:
        return rule.box_threshold, rule.max_boxes
    return highest * _PART_OF_PEAK, int(similarity >= LIKELY_PRESENT)


def _strongest(mask: Bools, values: Floats, most: int) -> Iterator[NDArray[np.intp]]:
    """Yield the cells of the components with the highest values, highest first.

    Args:
        mask: h x w.
        values: h x w; logits, because probabilities of high logits are equal.
        most: largest number of components.
    """
    cells, numbers = find_components(mask).members()
    best_first = np.lexsort((cells, -values.flat[cells]))  # of equal cells the first one
    _, ranks = np.unique(numbers[best_first], return_index=True)  # of each component's best cell
    for rank in np.sort(ranks)[:most]:
        yield cells[numbers == numbers[best_first[rank]]]


@dataclass(frozen=True)
class _Grid:
    """The part of a map over the whole square that shows the image.

    Attributes:
        start: first row and column of the part.
        shape: of the whole map, h x w.
        geometry: the way back to source pixels.
    """

    start: tuple[int, int]
    shape: tuple[int, ...]
    geometry: Geometry

    def centre(self, row: int, column: int) -> tuple[float, float]:
        """Return (x, y) of the centre of a cell, at most at that of the outermost pixels."""
        geometry = self.geometry
        x = (column + self.start[1] + 0.5) * geometry.size / self.shape[1]
        y = (row + self.start[0] + 0.5) * geometry.size / self.shape[0]
        source_x, source_y = geometry.to_source(x, y)
        return (
            min(max(source_x, 0.5), geometry.columns - 0.5),
            min(max(source_y, 0.5), geometry.rows - 0.5),
        )

    def box(self, cells: NDArray[np.intp]) -> Box:
        """Return the box around cells, which are indices of the flattened part."""
        width = self.geometry.cells(*self.shape)[1]
        rows, columns = np.divmod(cells, width.stop - width.start)
        per_x, per_y = (self.geometry.size / self.shape[axis] for axis in (1, 0))
        x0, x1 = columns.min() + self.start[1], columns.max() + 1 + self.start[1]
        y0, y1 = rows.min() + self.start[0], rows.max() + 1 + self.start[0]
        return self.geometry.box_to_source(
            (float(x0 * per_x), float(y0 * per_y), float(x1 * per_x), float(y1 * per_y))
        )
