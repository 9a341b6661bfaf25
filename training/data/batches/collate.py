"""Collate rows of a cache into a training batch: augmented images and the targets of each head.

images, planes of masks --augment--> images; each structure -> masks, boxes of organs
labels, boxes of a row --moved with the image--> findings, boxes
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Generator, Tensor

from training.config.augmentation import Augmentation
from training.data.batches.augment import Augmented, augment
from training.data.cache.cache import Cache
from training.data.cache.sample_index import Sample
from training.data.rows.mask_planes import IGNORE, place_of


@dataclass(frozen=True)
class DrawnBoxes:
    """The boxes of one label in one image that are still visible.

    Attributes:
        boxes: M x 4, moved with the image.
        centres_x: M, the x of their centres before the image was moved, 0 to 1.
    """

    boxes: Tensor
    centres_x: Tensor


@dataclass(frozen=True)
class Batch:
    """One augmented batch of B images; K is the number of labels of a head.

    Boxes are (x0, y0, x1, y1) as fractions of the image side.

    Attributes:
        images: B x 1 x S x S in [0, 1].
        findings: B x K in {0, 1}.
        findings_known: B x K bool.
        masks: B x K x S x S in {0, 1}.
        masks_known: B x K bool.
        counted: B x 1 x S x S in {0, 1}, 0 where nothing is annotated.
        boxes: for each image, label index -> M x 4.
        boxes_known: B x K bool, True if all boxes of the label are known.
        bits: B x P x S x S uint8, the masks of every structure (`rows.mask_planes`).
        structures: names of the structures of the bits.
        drawn: for each image, label -> the boxes that are drawn, whether a head learns them or not.
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
    structures: tuple[str, ...]
    drawn: list[dict[str, DrawnBoxes]]

    def structure(self, name: str) -> Tensor:
        """Return the mask of any structure, B x S x S bool."""
        return structure(self.bits, self.structures, name)


def load_batch(
    cache: Cache,
    rows: Sequence[int],
    labels: tuple[Sequence[str], Sequence[str], Sequence[str]],
    config: Augmentation,
    generator: Generator,
) -> Batch:
    """Load rows, augment them, and compute the targets of every head.

    Args:
        cache: images, masks and samples.
        rows: the B indices into the cache.
        labels: labels of the findings, the masks and the boxes head.
        config: augmentation.
        generator: CPU generator of the augmentation.
    """
    findings, masks, boxes = labels
    samples = [cache.samples[i] for i in rows]
    images = torch.from_numpy(np.stack([cache.images[i] for i in rows])).unsqueeze(1).float() / 255
    planes = torch.from_numpy(np.stack([cache.masks[i] for i in rows]))
    changed = augment(images, planes, config, generator)
    moved = cast(Tensor, changed.masks)  # not None, because masks were given
    truths = [sample.row.findings for sample in samples]
    organs = [
        {n: structure(moved[i], cache.structures, n) for n in s.row.organs if n in s.known}
        for i, s in enumerate(samples)
    ]
    drawn = [_drawn_boxes(s, changed, i) for i, s in enumerate(samples)]
    side = images.shape[-1]
    box_targets = [_box_targets(s, boxes, organs[i], drawn[i], side) for i, s in enumerate(samples)]
    return Batch(
        images=changed.images,
        findings=torch.tensor([[float(t.get(f, 0)) for f in findings] for t in truths]),
        findings_known=torch.tensor([[f in t for f in findings] for t in truths]),
        masks=torch.stack([structure(moved, cache.structures, n) for n in masks], dim=1).float()
        if masks
        else torch.zeros(len(rows), 0, *images.shape[2:]),
        masks_known=torch.tensor([[name in s.known for name in masks] for s in samples]),
        counted=counted(moved),
        boxes=[found for found, _ in box_targets],
        boxes_known=torch.tensor([known for _, known in box_targets]),
        bits=moved,
        structures=cache.structures,
        drawn=drawn,
    )


def structure(planes: Tensor, structures: Sequence[str], name: str) -> Tensor:
    """Return the mask of one structure, ... x S x S bool; empty if the planes do not have it.

    Args:
        planes: ... x P x S x S uint8.
        structures: structures of the planes.
        name: structure.
    """
    if name not in structures:
        return torch.zeros_like(planes[..., 0, :, :], dtype=torch.bool)
    plane, bit = place_of(name, structures)
    return (planes[..., plane, :, :] & bit) != 0


def counted(planes: Tensor) -> Tensor:
    """Return which pixels are annotated, B x 1 x S x S in {0, 1}, from B x P x S x S planes."""
    return ((planes[:, :1] & IGNORE) == 0).float()


def _box_targets(
    sample: Sample,
    labels: Sequence[str],
    organs: Mapping[str, Tensor],
    drawn: Mapping[str, DrawnBoxes],
    side: int,
) -> tuple[dict[int, Tensor], list[bool]]:
    """Return the boxes of one image by label index, and for each label whether all are known.

    Args:
        sample: the image.
        labels: labels of the boxes.
        organs: augmented masks of the annotated organs, S x S bool.
        drawn: the boxes that are drawn, by label.
        side: S.
    """
    found: dict[int, Tensor] = {}
    known: list[bool] = []
    for number, label in enumerate(labels):
        if label in organs:
            # An organ is in the image once, so its box follows from its augmented mask.
            box = _bounds(organs[label])
            found |= {number: box / side} if box is not None else {}
            known.append(True)
        elif label in drawn:
            found[number] = drawn[label].boxes
            known.append(True)
        else:
            absent = sample.row.findings.get(label) is False
            known.append(absent or label in sample.row.complete_boxes)
    return found, known


def _drawn_boxes(sample: Sample, changed: Augmented, index: int) -> dict[str, DrawnBoxes]:
    """Return the boxes of one image, moved with it, by label."""
    side = changed.images.shape[-1]
    found: dict[str, DrawnBoxes] = {}
    for label in dict.fromkeys(name for name, _ in sample.boxes):
        boxes = torch.tensor([box for name, box in sample.boxes if name == label]) / side
        moved = changed.move_boxes(index, boxes)
        visible = _visible(moved)
        centres_x = (boxes[:, 0] + boxes[:, 2]) / 2
        found[label] = DrawnBoxes(moved[visible], centres_x[visible])
    return found


def _visible(boxes: Tensor) -> Tensor:
    """Return which of M boxes are still visible: both sides over 2 percent of the image side."""
    return ((boxes[:, 2:] - boxes[:, :2]) > 0.02).all(dim=1)


def _bounds(mask: Tensor) -> Tensor | None:
    """Return the half-open box around a mask, 1 x 4 in pixels, or None if it is nearly empty."""
    ys, xs = torch.where(mask)
    if len(ys) < 20:
        return None
    return torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).float().unsqueeze(0)
