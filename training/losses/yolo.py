"""Targets and loss of YOLOv3: coordinates, objectness and classes.

    boxes -> the best of all nine priors -> one cell of one map is positive
          -> other priors that overlap a box by more than a half are ignored, the rest are empty

Source: Redmon and Farhadi, YOLOv3: An Incremental Improvement, 2018, section 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Priors = Sequence[tuple[float, float]]
"""Widths and heights of the priors of one map, in sides of the image."""

PRIORS: tuple[Priors, ...] = tuple(
    tuple((width / 416, height / 416) for width, height in scale)
    for scale in (
        ((10, 13), (16, 30), (33, 23)),
        ((30, 61), (62, 45), (59, 119)),
        ((116, 90), (156, 198), (373, 326)),
    )
)
"""Priors of the maps of strides 8, 16 and 32.

They are the paper's, which are in pixels of 416, as the same share of an image of any size.
"""
IGNORE_IOU = 0.5
"""IoU of a prior with a box above which the prior is not trained to be empty."""
COORDINATES_WEIGHT, EMPTY_WEIGHT = 2.5, 0.5
"""Weights of the coordinates and of the objectness of empty priors, as in MGCA's protocol."""


@dataclass(frozen=True)
class YoloTargets:
    """Targets of one map.

    Attributes:
        positive: B x A x h x w bool, priors that hold a box.
        empty: B x A x h x w bool, priors whose objectness should be 0.
        boxes: B x A x 4 x h x w: x, y in the cell (0 to 1), logarithms of width and height over
            the prior's; defined where `positive`.
        labels: B x A x K x h x w in {0, 1}; defined where `positive`.
    """

    positive: Tensor
    empty: Tensor
    boxes: Tensor
    labels: Tensor


def yolo_targets(
    boxes: Sequence[dict[int, Tensor]],
    known: Tensor,
    shapes: Sequence[tuple[int, int]],
    priors: Sequence[Priors] = PRIORS,
) -> list[YoloTargets]:
    """Return the targets of every map, on the CPU: they are filled box by box.

    Args:
        boxes: for each image, label -> M x 4 boxes in sides of the image.
        known: B x K bool, True if all boxes of a label are known. If one label of an image is
            not known, none of the image's priors counts as empty.
        shapes: h, w of the maps.
        priors: priors of each map, in sides of the image.
    """
    targets = [_no_boxes(known, len(p), shape) for p, shape in zip(priors, shapes, strict=True)]
    for image, of_label in enumerate(boxes):
        drawn = [(label, box) for label, rows in of_label.items() for box in rows.tolist()]
        if drawn:
            _ignore_overlapping(targets, image, torch.tensor([box for _, box in drawn]), priors)
        for label, box in drawn:
            _assign(targets, image, label, box, priors)
    return targets


def _no_boxes(known: Tensor, priors: int, shape: tuple[int, int]) -> YoloTargets:
    """Return targets without a box: empty in the images whose labels are all known."""
    batch, labels = known.shape
    cells = (batch, priors, *shape)
    complete = known.all(dim=1).view(batch, 1, 1, 1)
    return YoloTargets(
        positive=torch.zeros(cells, dtype=torch.bool),
        empty=complete.expand(cells).clone(),
        boxes=torch.zeros(batch, priors, 4, *shape),
        labels=torch.zeros(batch, priors, labels, *shape),
    )


def _ignore_overlapping(
    targets: Sequence[YoloTargets], image: int, boxes: Tensor, priors: Sequence[Priors]
) -> None:
    """Clear `empty` where a prior, placed at the centre of its cell, overlaps a box well.

    Args:
        targets: targets of every map, changed in place.
        image: position in the batch.
        boxes: M x 4 boxes of the image, in sides.
        priors: priors of each map.
    """
    for target, prior in zip(targets, priors, strict=True):
        height, width = target.empty.shape[2:]
        # All of the following broadcast to A x h x w x M.
        y = ((torch.arange(height) + 0.5) / height).view(1, -1, 1, 1)
        x = ((torch.arange(width) + 0.5) / width).view(1, 1, -1, 1)
        half_w, half_h = (torch.tensor(prior) / 2).view(-1, 1, 1, 2, 1).unbind(3)
        x0, y0, x1, y1 = boxes.unbind(1)
        across = torch.minimum(x + half_w, x1) - torch.maximum(x - half_w, x0)
        down = torch.minimum(y + half_h, y1) - torch.maximum(y - half_h, y0)
        common = across.clamp_min(0) * down.clamp_min(0)
        union = 4 * half_w * half_h + (x1 - x0) * (y1 - y0) - common
        target.empty[image] &= ((common / union) <= IGNORE_IOU).all(dim=3)


def _assign(
    targets: Sequence[YoloTargets],
    image: int,
    label: int,
    box: Sequence[float],
    priors: Sequence[Priors],
) -> None:
    """Assign a box to the prior whose shape is most similar, in the cell of the box's centre."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    scale, number = best_prior(width, height, priors)
    target, prior = targets[scale], priors[scale][number]
    rows, columns = target.positive.shape[2:]
    x, y = (x0 + x1) / 2 * columns, (y0 + y1) / 2 * rows
    # A centre on the last edge belongs to the last cell.
    column, row = (min(max(int(at), 0), n - 1) for at, n in ((x, columns), (y, rows)))
    cell = (image, number, slice(None), row, column)
    target.positive[image, number, row, column] = True
    target.empty[image, number, row, column] = False
    growth = (math.log(width / prior[0]), math.log(height / prior[1]))
    target.boxes[cell] = torch.tensor([x - column, y - row, *growth])
    target.labels[cell][label] = 1.0


def best_prior(width: float, height: float, priors: Sequence[Priors]) -> tuple[int, int]:
    """Return the map and the number of the prior with the largest IoU at a common centre.

    Args:
        width, height: size of the box, in sides of the image.
        priors: priors of each map.
    """
    each = [(s, n, prior) for s, scale in enumerate(priors) for n, prior in enumerate(scale)]
    common = [min(width, w) * min(height, h) for _, _, (w, h) in each]
    overlaps = [
        inner / (width * height + w * h - inner)
        for inner, (_, _, (w, h)) in zip(common, each, strict=True)
    ]
    scale, number, _ = each[overlaps.index(max(overlaps))]
    return scale, number


def yolo_loss(
    maps: Sequence[Tensor], targets: Sequence[YoloTargets], known: Tensor
) -> dict[str, Tensor]:
    """Return the losses of one batch, each a sum over the priors divided by the number of boxes.

    Args:
        maps: B x A x (5 + K) x h x w each, from `YoloHead.maps`.
        targets: targets from `yolo_targets`.
        known: B x K bool; a label that is not known in an image has no loss there.

    Returns:
        `coordinates` (cross-entropy of the place in the cell, squared error of the logarithms),
        `objectness` and `classes` (cross-entropy).
    """
    count = torch.stack([target.positive.sum() for target in targets]).sum().clamp_min(1)
    each = [_map_loss(level.float(), t, known) for level, t in zip(maps, targets, strict=True)]
    coordinates, objectness, classes = (torch.stack(term).sum() for term in zip(*each, strict=True))
    return {
        "coordinates": COORDINATES_WEIGHT * coordinates / count,
        "objectness": objectness / count,
        "classes": classes / count,
    }


def _map_loss(level: Tensor, target: YoloTargets, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sums over one map: coordinates, objectness and classes.

    Weights take the place of a selection, whose size the host would have to wait for.
    """
    boxes, labels, at = target.boxes, target.labels, target.positive.float()  # B x A x h x w
    place = F.binary_cross_entropy_with_logits(level[:, :, :2], boxes[:, :, :2], reduction="none")
    growth = F.mse_loss(level[:, :, 2:4], boxes[:, :, 2:], reduction="none")
    objectness = level[:, :, 4]
    full = F.softplus(-objectness) * at  # -log sigmoid of the objectness
    empty = F.softplus(objectness) * target.empty
    classes = F.binary_cross_entropy_with_logits(level[:, :, 5:], labels, reduction="none")
    weight = at.unsqueeze(2) * known[:, None, :, None, None]  # B x A x K x h x w
    coordinates = torch.sum((place + growth).sum(dim=2) * at)
    return coordinates, full.sum() + EMPTY_WEIGHT * empty.sum(), torch.sum(classes * weight)
