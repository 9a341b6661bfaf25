"""Short statements about the radiographs of a batch: what they show, and on which side and where.

    findings of a row ------------------------> "pleural effusion - present", "mass - absent"
    boxes, masks of findings + lungs ---------> "lung opacity in the right lower zone"
    statements drawn for each image of a batch -> all of them x all images: true, false, not known

Right and left are the patient's: the right lung is on the left of an upright image. Augmentation
never mirrors an image, so that a statement stays true of the augmented one. Zones are thirds of the
height of the lung in which a box lies; without lung masks, halves and thirds of the part of the
image that is not black. Short sentences as further positives are an idea of SentZero (2026).
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from radiograph.geometry.geometry import Box
from training.config.description import ORGANS
from training.config.pretrain import SentenceConfig
from training.data.annotations.mask_planes import place_of
from training.data.annotations.masks import LUNGS
from training.data.cache.cache import Cache

_ZONES = ("upper", "middle", "lower")
_SHARE_OF_ZONE = 0.25
"""Least share of the height of a box in a zone that the box is said to be in."""
_SHARE_OF_SIDE = 0.8
"""Least share of a box on one side; a box on both sides is in neither."""
_CENTRAL = {"Cardiomegaly", "Enlarged Cardiomediastinum", "Cardiomediastinum", "Heart", "Hernia"}
"""Findings without a side."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Statement:
    """A topic that is present or absent, or its place.

    Attributes:
        topic: name of a finding.
        present: True if the topic is said to be there.
        place: side and zone, such as `right lower`, or "" if none is named.
    """

    topic: str
    present: bool
    place: str = ""

    @property
    def text(self) -> str:
        """The statement in words, as the text encoder reads it."""
        topic = self.topic.replace("_", " ").lower()
        if self.place:
            return f"{topic} in the {self.place} zone"
        return f"{topic} - {'present' if self.present else 'absent'}"


@dataclass(frozen=True)
class Facts:
    """Everything that is known of one radiograph.

    Attributes:
        findings: topic -> present or absent; topics that are not known are left out.
        places: topic -> all places in which it was drawn.
    """

    findings: Mapping[str, bool]
    places: Mapping[str, frozenset[str]]

    def truth(self, statement: Statement) -> int:
        """Return 1 if a statement is true, -1 if it is false, 0 if that is not known.

        A topic that was drawn somewhere is taken to be nowhere else.
        """
        if statement.place:
            if statement.topic in self.places:
                return 1 if statement.place in self.places[statement.topic] else -1
            return -1 if self.findings.get(statement.topic) is False else 0
        known = self.findings.get(statement.topic, True if statement.topic in self.places else None)
        return 0 if known is None else 1 if known == statement.present else -1

    def true_statements(self, config: SentenceConfig) -> tuple[list[Statement], list[Statement]]:
        """Return the true statements that a configuration asks for: positive ones, absences."""
        told, absent = list[Statement](), list[Statement]()
        if config.location:
            told += [Statement(t, True, p) for t, all_ in self.places.items() for p in sorted(all_)]
        if config.presence:
            told += [Statement(topic, True) for topic, shown in self.findings.items() if shown]
            absent = [Statement(t, False) for t, shown in self.findings.items() if not shown]
        return told, absent


def facts_of(cache: Cache, index: int) -> Facts:
    """Return what is known of one cached radiograph."""
    sample, shown = cache.samples[index], _shown_masks(cache, index)
    organs = {*ORGANS, *sample.row.organs}
    lungs = (shown[LUNGS[0]], shown[LUNGS[1]]) if set(LUNGS) <= set(shown) else None
    regions = [(name, box) for name, box in sample.boxes if name not in organs]
    regions += [(n, box) for n in sorted(set(shown) - organs) for box in mask_boxes(shown[n])]
    return Facts(sample.row.findings, places(regions, cache.images[index], lungs))


def _shown_masks(cache: Cache, index: int) -> dict[str, Mask]:
    """Return the masks of one image that are not empty."""
    planes, shown = cache.masks[index], dict[str, Mask]()
    for name in cache.samples[index].known.intersection(cache.structures):
        plane, bit = place_of(name, cache.structures)
        mask = (planes[plane] & np.uint8(bit)) != 0
        if mask.any():
            shown[name] = mask
    return shown


def draw(facts: Sequence[Facts], config: SentenceConfig, rng: random.Random) -> list[Statement]:
    """Draw statements for each radiograph, positive ones first; equal ones occur once."""
    drawn: dict[Statement, None] = {}
    for each in facts:
        told, absent = each.true_statements(config)
        rng.shuffle(told)
        rng.shuffle(absent)
        drawn |= dict.fromkeys([*told, *absent][: config.each])
    return list(drawn)


def truth_table(facts: Sequence[Facts], statements: Sequence[Statement]) -> NDArray[np.int8]:
    """Return for K radiographs and U statements 1 (true), -1 (false) or 0 (not known), K x U."""
    table = [[each.truth(statement) for statement in statements] for each in facts]
    return np.array(table, dtype=np.int8).reshape(len(facts), len(statements))


def places(
    regions: Sequence[tuple[str, Box]], image: NDArray[np.uint8], lungs: tuple[Mask, Mask] | None
) -> dict[str, frozenset[str]]:
    """Return topic -> places of its regions; a topic with a region that has no side is left out.

    Args:
        regions: (topic, box in pixels).
        image: S x S, upright, padded with black.
        lungs: masks of the left and the right lung, S x S, or None.
    """
    found: dict[str, set[str]] = {}
    central = set(_CENTRAL)
    frames = _frames(image, lungs)
    for topic, box in regions:
        side = _side(box, frames, lungs)
        if not side:
            central.add(topic)
        else:
            zones = _zones(box, frames[side])
            found.setdefault(topic, set()).update(f"{side} {zone}" for zone in zones)
    return {topic: frozenset(at) for topic, at in found.items() if topic not in central and at}


def mask_boxes(mask: Mask) -> Iterator[Box]:
    """Yield the bounds of each connected component of a mask, (x0, y0, x1, y1)."""
    for rows, columns in ndimage.find_objects(ndimage.label(mask)[0]):
        yield columns.start, rows.start, columns.stop, rows.stop


def _frames(image: NDArray[np.uint8], lungs: tuple[Mask, Mask] | None) -> dict[str, Box]:
    """Return the frame of each of the patient's sides: of its lung, or half of the image."""
    if lungs is not None:
        left, right = (_bounds(mask) for mask in lungs)
    else:
        x0, y0, x1, y1 = _bounds(image > 0)
        middle = (x0 + x1) / 2
        left, right = (middle, y0, x1, y1), (x0, y0, middle, y1)
    return {"left": left, "right": right}


def _bounds(mask: Mask) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return 0.0, 0.0, float(mask.shape[1]), float(mask.shape[0])
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _side(box: Box, frames: Mapping[str, Box], lungs: tuple[Mask, Mask] | None) -> str:
    """Return the patient's side of a box, or "" if it lies on both."""
    x0, y0, x1, y1 = box
    if lungs is not None:
        window = np.s_[max(0, round(y0)) : max(0, round(y1)), max(0, round(x0)) : max(0, round(x1))]
        of_left, of_right = (float(mask[window].sum()) for mask in lungs)
    else:
        middle = frames["left"][0]
        of_left, of_right = max(0.0, x1 - max(x0, middle)), max(0.0, min(x1, middle) - x0)
    total = of_left + of_right
    if not total or max(of_left, of_right) < _SHARE_OF_SIDE * total:
        return ""
    return "left" if of_left > of_right else "right"


def _zones(box: Box, frame: Box) -> Iterator[str]:
    """Yield the zones of a frame that a box reaches into; beyond the frame is its nearest zone."""
    top, third, height = frame[1], (frame[3] - frame[1]) / 3, max(box[3] - box[1], 1e-6)
    for number, zone in enumerate(_ZONES):
        low = -np.inf if number == 0 else top + number * third
        high = np.inf if number == 2 else top + (number + 1) * third
        if min(box[3], high) - max(box[1], low) >= _SHARE_OF_ZONE * height:
            yield zone
