"""Collate rows of a cache into a training batch: augmented images and the targets of each head.

images, mask bits --augment--> images; bits of each structure -> masks, boxes of organs
labels, boxes of a row --moved with the image--> findings, boxes
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Generator, Tensor

from training.config.augmentation import Augmentation
from training.data.batches.augment import Augmented, augment
from training.data.cache.cache import Cache
from training.data.cache.sample_index import Sample
from training.data.rows.labels import complete_boxes, truth
from training.data.rows.masks import IGNORE, ORGANS, STRUCTURES


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
        bits: B x S x S uint8, the mask bits of every structure.
        opacities: for each image, M x 4 boxes of lung opacities.
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
    bits = torch.from_numpy(np.stack([cache.masks[i] for i in rows]))
    changed = augment(images, bits, config, generator)
    moved = cast(Tensor, changed.masks)  # not None, because masks were given
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
    """Return the mask of one structure from mask bits, bool."""
    return (bits & (1 << STRUCTURES.index(name))) != 0


def _boxes(
    sample: Sample, changed: Augmented, index: int, labels: Sequence[str]
) -> tuple[dict[int, Tensor], list[bool]]:
    """Return the boxes of one image by label index, and for each label whether all are known."""
    side = changed.images.shape[-1]
    found: dict[int, Tensor] = {}
    known: list[bool] = []
    complete = complete_boxes(sample.row)
    for number, label in enumerate(labels):
        drawn = [box for name, box in sample.boxes if name == label]
        if label in ORGANS and label in sample.known and changed.masks is not None:
            # An organ is in the image once, so its box follows from its augmented mask.
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
    """Return the boxes that are still visible: both sides over 2 percent of the image side."""
    return boxes[((boxes[:, 2:] - boxes[:, :2]) > 0.02).all(dim=1)]


def _bounds(mask: Tensor) -> Tensor | None:
    """Return the half-open box around a mask, 1 x 4 in pixels, or None if it is nearly empty."""
    ys, xs = torch.where(mask)
    if len(ys) < 20:
        return None
    return torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).float().unsqueeze(0)


def _opacity_boxes(sample: Sample, changed: Augmented, index: int) -> Tensor:
    """Return the boxes of lung opacities of one image, moved with it: M x 4 in sides."""
    drawn = [box for name, box in sample.boxes if name == "Lung opacity"]
    if not drawn:
        return torch.zeros(0, 4)
    return _visible(changed.move_boxes(index, torch.tensor(drawn) / changed.images.shape[-1]))
