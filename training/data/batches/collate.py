"""Collate rows of a cache into a training batch: images and the targets of each head.

seed -> geometry of the augmentation
planes of masks --geometry--> each structure -> masks, boxes of organs
labels, boxes of a row --geometry--> findings, boxes
images, seed --on the device of the step--> augmented images

Images travel to the device as the bytes that they are in the cache, and masks as planes of bits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from training.config.augmentation import Augmentation
from training.data.annotations.mask_planes import IGNORE, place_of
from training.data.augmentation.augment import Geometry, augment, draw_geometry, works_on_host
from training.data.cache.cache import Cache
from training.data.cache.sample_index import Sample


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
    """One batch of B images; K is the number of labels of a head.

    All targets are those of the augmented images. Boxes are (x0, y0, x1, y1) as fractions of the
    image side.

    Attributes:
        pixels: B x 1 x S' x S' uint8 before the augmentation; S' is S, or larger before a crop.
        augmentation: kind and strength of the augmentation.
        seed: seed of the augmentation.
        findings: B x K in {0, 1}.
        findings_known: B x K bool.
        mask_labels: K labels of the masks.
        masks_known: B x K bool.
        boxes: for each image, label index -> M x 4.
        boxes_known: B x K bool, True if all boxes of the label are known.
        bits: B x P x S x S uint8, the masks of every structure (`rows.mask_planes`).
        structures: names of the structures of the bits.
        drawn: for each image, label -> the boxes that are drawn, whether a head learns them or not.
        ready: the augmented images, if they were made where the batch was loaded.
    """

    pixels: Tensor
    augmentation: Augmentation
    seed: int
    findings: Tensor
    findings_known: Tensor
    mask_labels: tuple[str, ...]
    masks_known: Tensor
    boxes: list[dict[int, Tensor]]
    boxes_known: Tensor
    bits: Tensor
    structures: tuple[str, ...]
    drawn: list[dict[str, DrawnBoxes]]
    ready: Tensor | None = None

    def images(self) -> Tensor:
        """Return the augmented images on the device of the pixels, B x 1 x S x S in [0, 1]."""
        if self.ready is not None:
            return self.ready
        generator = torch.Generator().manual_seed(self.seed)
        return augment(self.pixels.float() / 255, None, self.augmentation, generator).images

    @property
    def masks(self) -> Tensor:
        """Masks of the labels, B x K x S x S in {0, 1}."""
        if not self.mask_labels:
            return self.bits.new_zeros(len(self.bits), 0, *self.bits.shape[2:]).float()
        return torch.stack([self.structure(name) for name in self.mask_labels], dim=1).float()

    @property
    def counted(self) -> Tensor:
        """B x 1 x S x S in {0, 1}, 0 where nothing is annotated."""
        return counted(self.bits)

    def structure(self, name: str) -> Tensor:
        """Return the mask of any structure, B x S x S bool."""
        return structure(self.bits, self.structures, name)


def load_batch(
    cache: Cache,
    rows: Sequence[int],
    labels: tuple[Sequence[str], Sequence[str], Sequence[str]],
    config: Augmentation,
    seed: int,
) -> Batch:
    """Load rows, draw the geometry of their augmentation, and compute the targets of every head.

    Args:
        cache: images, masks and samples.
        rows: the B indices into the cache.
        labels: labels of the findings, the masks and the boxes head.
        config: augmentation.
        seed: seed of the augmentation.
    """
    findings, masks, boxes = labels
    samples = [cache.samples[i] for i in rows]
    pixels = torch.from_numpy(np.stack([cache.images[i] for i in rows])).unsqueeze(1)
    planes = torch.from_numpy(np.stack([cache.masks[i] for i in rows]))
    generator, before_px = torch.Generator().manual_seed(seed), pixels.shape[-1]
    geometry = draw_geometry(len(rows), before_px, config, generator)
    moved = geometry.move_masks(planes)
    truths = [sample.row.findings for sample in samples]
    organs = [
        {n: structure(moved[i], cache.structures, n) for n in s.row.organs if n in s.known}
        for i, s in enumerate(samples)
    ]
    drawn = [_drawn_boxes(s, geometry, i, before_px) for i, s in enumerate(samples)]
    side = moved.shape[-1]
    box_targets = [_box_targets(s, boxes, organs[i], drawn[i], side) for i, s in enumerate(samples)]
    batch = Batch(
        pixels=pixels,
        augmentation=config,
        seed=seed,
        findings=torch.tensor([[float(t.get(f, 0)) for f in findings] for t in truths]),
        findings_known=torch.tensor([[f in t for f in findings] for t in truths]),
        mask_labels=tuple(masks),
        masks_known=torch.tensor([[name in s.known for name in masks] for s in samples]),
        boxes=[found for found, _ in box_targets],
        boxes_known=torch.tensor([known for _, known in box_targets]),
        bits=moved,
        structures=cache.structures,
        drawn=drawn,
    )
    # The step would wait for the device if it had to encode single images on the host.
    return replace(batch, ready=batch.images()) if works_on_host(config) else batch


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


def _drawn_boxes(
    sample: Sample, geometry: Geometry, index: int, side_px: int
) -> dict[str, DrawnBoxes]:
    """Return the boxes of one image, moved with it, by label.

    Args:
        sample: the image.
        geometry: changes of the batch.
        index: index of the image in it.
        side_px: side of the image before the change.
    """
    found: dict[str, DrawnBoxes] = {}
    for label in dict.fromkeys(name for name, _ in sample.boxes):
        boxes = torch.tensor([box for name, box in sample.boxes if name == label]) / side_px
        moved = geometry.move_boxes(index, boxes)
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
