"""Targets of phrase-region alignment: the region and the presence of each phrase in each image.

    labels of a row -----------------> presence: shown, not shown, or not known
    lung masks --`lung_regions`------> maps of anatomical concepts
    masks or boxes of opacities -----> maps of pneumonia

The weight of a cell is 0 where its map is not known, so that it does not enter the loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.batches.collate import Batch
from training.data.batches.lung_regions import Lungs
from training.data.cache.sample_index import Sample
from training.data.rows.masks import LUNGS
from training.data.rows.reader import Row
from training.data.text.grounding_phrases import REGION_WORDINGS, Phrase


@dataclass(frozen=True)
class RegionTargets:
    """Targets of P phrases in B images, on an h x w grid.

    Attributes:
        maps: B x P x h x w in {0, 1}.
        weight: B x P x h x w in {0, 1}, 0 where the map is not known.
        presence: B x P in {0, 1}, 1 if the image shows the concept of the phrase.
        presence_known: B x P in {0, 1}.
    """

    maps: Tensor
    weight: Tensor
    presence: Tensor
    presence_known: Tensor


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
    if not phrases:
        return RegionTargets(maps, weight, present, known)
    lungs = Lungs(*(_shrink(batch.structure(name), side) for name in LUNGS))
    opacities = _opacity_maps(batch, side)
    for p, phrase in enumerate(phrases):
        regions = lungs.region(phrase.concept) if phrase.concept in REGION_WORDINGS else None
        for b, sample in enumerate(samples):
            pneumonia = phrase.concept == "Pneumonia"
            # A mask of an opacity outweighs a label that says there is none.
            masked = pneumonia and opacities.masked[b]
            shown = True if masked else presence(sample.row, phrase.concept)
            if shown is not None:
                present[b, p], known[b, p] = float(shown), 1.0
            has_lungs = set(LUNGS) <= sample.known
            if shown is False:
                weight[b, p] = 1.0
            elif regions is not None and has_lungs:
                maps[b, p], weight[b, p] = regions[b].float(), 1.0
            elif pneumonia and (opacity := opacities.maps[b]) is not None:
                maps[b, p], weight[b, p] = opacity, 1.0
            elif pneumonia and shown and has_lungs:
                # Somewhere in the lungs, so the map is known to be 0 outside them.
                weight[b, p] = (~(lungs.left[b] | lungs.right[b])).float()
    return RegionTargets(maps, weight, present, known)


def presence(row: Row, concept: str) -> bool | None:
    """Return whether a frontal radiograph shows the concept; None if that is not known."""
    if concept in REGION_WORDINGS or concept == "visible":
        return True
    if concept == "absent":
        return False
    if concept == "normal":
        return row.normal
    return False if row.nothing_else else row.findings.get(concept)


@dataclass(frozen=True)
class _OpacityMaps:
    """Maps of the lung opacities of each image, from its masks or else from its boxes.

    Attributes:
        masked: True for images with a mask that is not empty on the grid.
        maps: h x w in {0, 1}, or None without a mask and without boxes.
    """

    masked: list[bool]
    maps: list[Tensor | None]


def _opacity_maps(batch: Batch, side: int) -> _OpacityMaps:
    masks = _shrink(batch.structure("Lung opacity"), side)
    masked = [bool(mask.any()) for mask in masks]
    maps: list[Tensor | None] = [
        mask.float() if has_mask else (_fill(boxes, side) if len(boxes) else None)
        for mask, has_mask, boxes in zip(masks, masked, batch.opacities, strict=True)
    ]
    return _OpacityMaps(masked, maps)


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
