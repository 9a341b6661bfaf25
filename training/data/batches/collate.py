"""A training batch for the heads: images, and for each head what is known to be true."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from training.config.augmentation import Augmentation
from training.data.batches.augment import Augmented, augment
from training.data.cache.cache import Cache
from training.data.cache.render import Sample
from training.data.rows.labels import complete_boxes, truth
from training.data.rows.masks import IGNORE, LUNGS, ORGANS, STRUCTURES
from training.data.text.grounding_phrases import REGION_WORDINGS, Lungs, Phrase, presence


@dataclass(frozen=True)
class RegionTargets:
    """Phrases and where they are, B images and P phrases on an h x w grid.

    Attributes:
        maps: B x P x h x w in {0, 1}.
        weight: B x P x h x w, 0 where nothing is known.
        presence, presence_known: B x P, whether the image shows the phrase at all.
    """

    maps: Tensor
    weight: Tensor
    presence: Tensor
    presence_known: Tensor


@dataclass(frozen=True)
class Batch:
    """One batch, augmented.

    Attributes:
        images: B x 1 x S x S in [0, 1].
        findings, findings_known: B x K.
        masks: B x K x S x S in {0, 1}; masks_known: B x K; counted: B x 1 x S x S.
        boxes: for each image, label index -> M x 4 in sides; boxes_known: B x K.
        bits: B x S x S uint8, every structure's mask.
        opacities: for each image M x 4 boxes of lung opacities, in sides.
    """

    images: Tensor
    findings: Tensor
    findings_known: Tensor
    masks: Tensor
    masks_known: Tensor
    counted: Tensor
    boxes: list[dict[int, Tensor]]
    boxes_known: Tensor
    bits: Tensor
    opacities: list[Tensor]


def load_batch(
    cache: Cache,
    rows: Sequence[int],
    labels: tuple[Sequence[str], Sequence[str], Sequence[str]],
    config: Augmentation,
    generator: Generator,
) -> Batch:
    """Read rows, augment them, and work out every head's targets.

    Args:
        cache: where images and masks are.
        rows: indices into the cache.
        labels: of the findings, masks and boxes heads.
        config, generator: of the augmentation.
    """
    findings, masks, boxes = labels
    samples = [cache.samples[i] for i in rows]
    images = torch.from_numpy(np.stack([cache.images[i] for i in rows])).unsqueeze(1).float() / 255
    bits = torch.from_numpy(np.stack([cache.masks[i] for i in rows]))
    changed = augment(images, bits, config, generator)
    moved = cast(Tensor, changed.masks)  # masks went in
    truths = [truth(sample.row) for sample in samples]
    box_targets = [_boxes(s, changed, i, boxes) for i, s in enumerate(samples)]
    return Batch(
        images=changed.images,
        findings=torch.tensor([[float(t.get(f, 0)) for f in findings] for t in truths]),
        findings_known=torch.tensor([[f in t for f in findings] for t in truths]),
        masks=torch.stack([structure(moved, name) for name in masks], dim=1).float()
        if masks
        else torch.zeros(len(rows), 0, *images.shape[2:]),
        masks_known=torch.tensor([[name in s.known for name in masks] for s in samples]),
        counted=((moved & IGNORE) == 0).unsqueeze(1).float(),
        boxes=[found for found, _ in box_targets],
        boxes_known=torch.tensor([known for _, known in box_targets]),
        bits=moved,
        opacities=[_opacity_boxes(s, changed, i) for i, s in enumerate(samples)],
    )


def structure(bits: Tensor, name: str) -> Tensor:
    """The mask of one structure out of mask bits, bool."""
    return (bits & (1 << STRUCTURES.index(name))) != 0


def _boxes(
    sample: Sample, changed: Augmented, index: int, labels: Sequence[str]
) -> tuple[dict[int, Tensor], list[bool]]:
    """Boxes of one image by label, and for which labels they are all known."""
    side = changed.images.shape[-1]
    found: dict[int, Tensor] = {}
    known: list[bool] = []
    complete = complete_boxes(sample.row)
    for number, label in enumerate(labels):
        drawn = [box for name, box in sample.boxes if name == label]
        if label in ORGANS and label in sample.known and changed.masks is not None:
            box = _bounds(structure(changed.masks[index], label))
            found |= {number: box / side} if box is not None else {}
            known.append(True)
        elif drawn:
            moved = changed.move_boxes(index, torch.tensor(drawn) / side)
            found[number] = _visible(moved)
            known.append(True)
        else:
            known.append(label in complete)
    return found, known


def _visible(boxes: Tensor) -> Tensor:
    """The boxes that are still in the image: both sides over 2 percent of it."""
    return boxes[((boxes[:, 2:] - boxes[:, :2]) > 0.02).all(dim=1)]


def _bounds(mask: Tensor) -> Tensor | None:
    """The half-open box around a mask, 1 x 4 pixels, or None when it is (nearly) empty."""
    ys, xs = torch.where(mask)
    if len(ys) < 20:
        return None
    return torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).float().unsqueeze(0)


def region_targets(
    samples: Sequence[Sample], batch: Batch, phrases: Sequence[Phrase], side: int
) -> RegionTargets:
    """Where each phrase is in each image, as far as masks, boxes and labels say.

    Args:
        samples: the B rows.
        batch: their augmented images and masks.
        phrases: P phrases.
        side: h = w of the head's map.
    """
    count, batch_size = len(phrases), len(samples)
    maps = torch.zeros(batch_size, count, side, side)
    weight = torch.zeros(batch_size, count, side, side)
    present = torch.zeros(batch_size, count)
    known = torch.zeros(batch_size, count)
    if not phrases:
        return RegionTargets(maps, weight, present, known)
    lungs = Lungs(*(_shrink(structure(batch.bits, n), side) for n in LUNGS))
    outside = ~(lungs.left | lungs.right)
    opacity = _shrink(structure(batch.bits, "Lung opacity"), side)
    for p, phrase in enumerate(phrases):
        region = lungs.region(phrase.concept) if phrase.concept in REGION_WORDINGS else None
        for b, sample in enumerate(samples):
            says = presence(sample.row, phrase.concept)
            has_opacity = phrase.concept == "Pneumonia" and bool(opacity[b].any())
            says = True if has_opacity else says
            if says is not None:
                present[b, p], known[b, p] = float(says), 1.0
            has_lungs = set(LUNGS) <= sample.known
            if says is False:
                weight[b, p] = 1.0
            elif region is not None and has_lungs:
                maps[b, p], weight[b, p] = region[b].float(), 1.0
            elif has_opacity:
                maps[b, p], weight[b, p] = opacity[b].float(), 1.0
            elif phrase.concept == "Pneumonia" and len(batch.opacities[b]):
                maps[b, p], weight[b, p] = _fill(batch.opacities[b], side), 1.0
            elif phrase.concept == "Pneumonia" and says and has_lungs:
                weight[b, p] = outside[b].float()  # somewhere in the lungs; elsewhere it is not
    return RegionTargets(maps, weight, present, known)


def _shrink(mask: Tensor, side: int) -> Tensor:
    """B x S x S bool -> B x side x side bool, by majority."""
    return F.adaptive_avg_pool2d(mask.unsqueeze(1).float(), side).squeeze(1) >= 0.5


def _opacity_boxes(sample: Sample, changed: Augmented, index: int) -> Tensor:
    """The boxes of lung opacities drawn on one image, moved with it: M x 4 in sides."""
    drawn = [box for name, box in sample.boxes if name == "Lung opacity"]
    if not drawn:
        return torch.zeros(0, 4)
    return _visible(changed.move_boxes(index, torch.tensor(drawn) / changed.images.shape[-1]))


def _fill(boxes: Tensor, side: int) -> Tensor:
    """Boxes in sides of the image -> side x side map, 1 inside."""
    filled = torch.zeros(side, side)
    for box in boxes:
        x0, y0, x1, y1 = (box * side).round().int().tolist()
        filled[y0:y1, x0:x1] = 1.0
    return filled
