"""Targets of phrase-region alignment: the region and the presence of each phrase in each image.

    labels of a row -------------------> presence: shown, not shown, or not known
    masks of lungs --`lung_regions`----> maps of anatomical concepts
    masks of the heart ----------------> its own map, in place of the one from the lungs
    masks or boxes of a finding -------> its map; by side, from the centres of the boxes
    a finding that is known absent ----> an empty map

The weight of a cell is 0 where its map is not known, so that it does not enter the loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.annotations.masks import LUNGS
from training.data.batches.collate import Batch, DrawnBoxes
from training.data.batches.lung_regions import Lungs
from training.data.cache.sample_index import Sample
from training.data.rows.reader import Row
from training.data.text.phrases.grounding_phrases import REGION_WORDINGS, Phrase

_ORGANS = {"heart": "Heart"}
"""Concept -> structure whose mask is its region where it is annotated."""
_DRAWN_AS = {
    "Pneumonia": ("Lung opacity",),
    "Infiltration": ("Lung opacity",),
    "Cardiomegaly": ("Heart",),
}
"""Finding that an image shows -> other names under which its place is drawn."""
_OPACITIES = frozenset({"Pneumonia", "Lung opacity"})
"""Findings that are drawn although a text-mined label may say that there is none."""
_IN_LUNGS = frozenset(
    {"Pneumonia", "Lung opacity", "Infiltration", "Consolidation", "Atelectasis", "Edema"}
    | {"Mass", "Nodule", "Fibrosis"}
)
"""Findings inside the lungs."""
_MIDLINE = 0.05
"""Distance from the middle of the image, in sides, within which the centre of a box is on neither
side; from the border of a zone, half of it."""


@dataclass(frozen=True)
class RegionTargets:
    """Targets of P phrases in B images, on an h x w grid.

    Attributes:
        maps: B x P x h x w in {0, 1}.
        weight: B x P x h x w in {0, 1}, 0 where the map is not known.
        presence: B x P in {0, 1}, 1 if the image shows the concept of the phrase.
        presence_weight: B x P, 0 where the presence is not known.
        anatomical: P in {0, 1}, 1 for phrases about anatomy, 0 for all others.
    """

    maps: Tensor
    weight: Tensor
    presence: Tensor
    presence_weight: Tensor
    anatomical: Tensor


def region_targets(
    samples: Sequence[Sample], batch: Batch, phrases: Sequence[Phrase], side: int
) -> RegionTargets:
    """Return the targets of each phrase in each image.

    Args:
        samples: the B samples of the batch.
        batch: their augmented images and masks.
        phrases: the P phrases.
        side: h = w of the maps.
    """
    shape = (len(samples), len(phrases))
    maps, weight = torch.zeros(*shape, side, side), torch.zeros(*shape, side, side)
    present, known = torch.zeros(shape), torch.zeros(shape)
    anatomical = torch.tensor([float(phrase.concept in REGION_WORDINGS) for phrase in phrases])
    if not phrases:
        return RegionTargets(maps, weight, present, known, anatomical)
    places = _Places.of(batch, side)
    for p, phrase in enumerate(phrases):
        regions = places.lungs.region(phrase.concept) if phrase.concept in REGION_WORDINGS else None
        for b, sample in enumerate(samples):
            shown, area = _target(sample, phrase, regions, places, b)
            if shown is not None:
                present[b, p], known[b, p] = float(shown), 1.0
            if area is not None:
                maps[b, p], weight[b, p] = area.map, area.weight
    return RegionTargets(maps, weight, present, known, anatomical)


@dataclass(frozen=True)
class _Area:
    """Map and weight of one phrase in one image, h x w each."""

    map: Tensor
    weight: Tensor


@dataclass(frozen=True)
class _Places:
    """Everything whose place in the B images of a batch is known, on an h x w grid.

    Attributes:
        lungs: masks of the lungs.
        masks: structure or finding -> B x h x w bool.
        drawn: for each image, label -> boxes.
        side: h = w.
    """

    lungs: Lungs
    masks: dict[str, Tensor]
    drawn: list[dict[str, DrawnBoxes]]
    side: int

    @classmethod
    def of(cls, batch: Batch, side: int) -> "_Places":
        lungs = Lungs(*(_shrink(batch.structure(name), side) for name in LUNGS))
        masks = {name: _shrink(batch.structure(name), side) for name in batch.structures}
        return cls(lungs, masks, batch.drawn, side)

    def everywhere(self, value: float) -> Tensor:
        """Return an h x w map of one value."""
        return torch.full((self.side, self.side), value)

    def outside_lungs(self, index: int) -> Tensor:
        """Return 1 outside the lungs of one image."""
        return (~(self.lungs.left[index] | self.lungs.right[index])).float()

    def drawing(self, names: Sequence[str], phrase: Phrase, index: int) -> _Area | None:
        """Return the first mask or boxes with one of these names, where a phrase places them."""
        for name in names:
            mask = self.masks[name][index] if name in self.masks else None
            if not phrase.side and mask is not None and mask.any():
                return _Area(mask.float(), self.everywhere(1))
            if (found := self.drawn[index].get(name)) and len(found.boxes):
                return self._boxes(found, phrase, index)
        return None

    def _boxes(self, found: DrawnBoxes, phrase: Phrase, index: int) -> _Area | None:
        """Return the map of the boxes where a phrase places them; None if that is not known.

        A box near the midline, or near the border of a zone, is on neither side of it for certain,
        so that its cells have no weight.
        """
        within = torch.full((len(found.boxes),), inf)  # M, distance to what ends the place
        if phrase.side:
            lateral = found.centres_x - 0.5  # the patient's left is on the right of the image
            within = (lateral if phrase.side == "left" else -lateral) - _MIDLINE
        if phrase.zone:
            rows = self.lungs.region(f"{phrase.side} {phrase.zone} zone")[index].any(dim=1)
            if not rows.any():
                return None
            first, last = (float(edge) / self.side for edge in rows.nonzero().flatten()[[0, -1]])
            centre = (found.boxes[:, 1] + found.boxes[:, 3]) / 2
            from_top = centre - first if phrase.zone != "upper" else torch.full_like(centre, inf)
            from_end = last - centre if phrase.zone != "lower" else torch.full_like(centre, inf)
            within = torch.minimum(within, torch.minimum(from_top, from_end) - _MIDLINE / 2)
        own, unsure = within > 0, (within <= 0) & (within > -2 * _MIDLINE)
        return _Area(_fill(found.boxes[own], self.side), 1 - _fill(found.boxes[unsure], self.side))


def _target(
    sample: Sample, phrase: Phrase, regions: Tensor | None, places: _Places, index: int
) -> tuple[bool | None, _Area | None]:
    """Return the presence of a phrase in one image, and its area where something is known of it.

    Args:
        sample: the image.
        phrase: the phrase.
        regions: B x h x w regions of an anatomical concept, or None for another concept.
        places: places in the batch.
        index: index of the image in it.
    """
    nothing = _Area(places.everywhere(0), places.everywhere(1))
    if regions is not None:
        own = _ORGANS.get(phrase.concept)
        if own is not None and own in sample.known:
            return True, _Area(places.masks[own][index].float(), places.everywhere(1))
        known = set(LUNGS) <= sample.known
        return True, _Area(regions[index].float(), places.everywhere(1)) if known else None
    shown = presence(sample.row, phrase.concept)
    others = _DRAWN_AS.get(phrase.concept, ()) if shown or phrase.concept in _OPACITIES else ()
    drawing = places.drawing((phrase.concept, *others), phrase, index)
    # A drawing of an opacity outweighs a label that says there is none.
    if shown is False and (drawing is None or phrase.concept not in _OPACITIES):
        return False, nothing
    if drawing is not None:
        return bool(drawing.map.any()), drawing
    if phrase.side:  # which of the sides is not known
        return None, None
    if shown and phrase.concept in _IN_LUNGS and set(LUNGS) <= sample.known:
        # Somewhere in the lungs, so the map is known to be 0 outside them.
        return True, _Area(places.everywhere(0), places.outside_lungs(index))
    return shown, None


def presence(row: Row, concept: str) -> bool | None:
    """Return whether a frontal radiograph shows the concept; None if that is not known."""
    if concept in REGION_WORDINGS or concept == "visible":
        return True
    if concept == "absent":
        return False
    if concept == "normal":
        return row.normal
    return False if row.nothing_else else row.findings.get(concept)


def _shrink(mask: Tensor, side: int) -> Tensor:
    """Reduce B x S x S bool masks to B x side x side bool, by majority."""
    return F.adaptive_avg_pool2d(mask.unsqueeze(1).float(), side).squeeze(1) >= 0.5


def _fill(boxes: Tensor, side: int) -> Tensor:
    """Draw M x 4 boxes, as fractions of the image side, into a side x side map, 1 inside."""
    filled = torch.zeros(side, side)
    for box in boxes:
        x0, y0, x1, y1 = (box * side).round().int().tolist()
        filled[y0:y1, x0:x1] = 1.0
    return filled
