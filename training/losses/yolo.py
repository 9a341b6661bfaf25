"""The loss of YOLOv3 (Redmon & Farhadi 2018, section 2): coordinates, objectness, classes.

boxes -> the best of all nine priors -> one cell of one map is positive
      -> priors that overlap a box otherwise by more than a half are ignored, the rest empty
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.model.yolo_head import PRIORS, Anchors

IGNORED_FROM = 0.5
"""Overlap of a prior with a box from which on it is not told that it is empty."""
COORDINATES, EMPTY = 2.5, 0.5
"""Weights of the coordinates and of the objectness of empty priors, as in MGCA's protocol."""


@dataclass(frozen=True)
class YoloTargets:
    """What one map should answer.

    Attributes:
        positive: B x A x h x w bool, priors that hold a box.
        empty: likewise, priors whose objectness should be 0.
        boxes: B x A x 4 x h x w: x, y in the cell (0 to 1), logarithms of width and height over
            the prior's; where `positive`.
        labels: B x A x K x h x w in {0, 1}; likewise.
    """

    positive: Tensor
    empty: Tensor
    boxes: Tensor
    labels: Tensor


def yolo_targets(
    boxes: Sequence[dict[int, Tensor]],
    known: Tensor,
    shapes: Sequence[tuple[int, int]],
    priors: Sequence[Anchors] = PRIORS,
) -> list[YoloTargets]:
    """Targets of every map.

    Args:
        boxes: for each image, label -> M x 4 boxes in sides of the image.
        known: B x K bool, whether all boxes of a label are known. Where one of an image is not,
            none of its priors is called empty.
        shapes: h, w of the maps.
        priors: of each map, in sides.
    """
    targets = [_nothing(known, len(p), shape) for p, shape in zip(priors, shapes, strict=True)]
    for image, of_label in enumerate(boxes):
        drawn = [(label, box) for label, rows in of_label.items() for box in rows.tolist()]
        if drawn:
            _leave_out(targets, image, torch.tensor([box for _, box in drawn]), priors)
        for label, box in drawn:
            _place(targets, image, label, box, priors)
    return [
        YoloTargets(*(t.to(known.device) for t in (x.positive, x.empty, x.boxes, x.labels)))
        for x in targets
    ]


def _nothing(known: Tensor, priors: int, shape: tuple[int, int]) -> YoloTargets:
    """Empty where every label of the image is known."""
    batch, labels = known.shape
    cells = (batch, priors, *shape)
    whole = known.cpu().all(dim=1).view(batch, 1, 1, 1)
    return YoloTargets(
        positive=torch.zeros(cells, dtype=torch.bool),
        empty=whole.expand(cells).clone(),
        boxes=torch.zeros(batch, priors, 4, *shape),
        labels=torch.zeros(batch, priors, labels, *shape),
    )


def _leave_out(
    targets: Sequence[YoloTargets], image: int, boxes: Tensor, priors: Sequence[Anchors]
) -> None:
    """Do not call empty a prior that, about the centre of its cell, overlaps a box well."""
    for target, prior in zip(targets, priors, strict=True):
        height, width = target.empty.shape[2:]
        y = ((torch.arange(height) + 0.5) / height).view(1, -1, 1, 1)
        x = ((torch.arange(width) + 0.5) / width).view(1, 1, -1, 1)
        half_w, half_h = (torch.tensor(prior) / 2).view(-1, 1, 1, 2, 1).unbind(3)
        x0, y0, x1, y1 = boxes.unbind(1)
        across = torch.minimum(x + half_w, x1) - torch.maximum(x - half_w, x0)
        down = torch.minimum(y + half_h, y1) - torch.maximum(y - half_h, y0)
        common = across.clamp_min(0) * down.clamp_min(0)
        union = 4 * half_w * half_h + (x1 - x0) * (y1 - y0) - common
        target.empty[image] &= ((common / union) <= IGNORED_FROM).all(dim=3)


def _place(
    targets: Sequence[YoloTargets],
    image: int,
    label: int,
    box: Sequence[float],
    priors: Sequence[Anchors],
) -> None:
    """Give a box to the prior whose shape is most like it."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    scale, number = best_prior(width, height, priors)
    target, prior = targets[scale], priors[scale][number]
    rows, columns = target.positive.shape[2:]
    x, y = (x0 + x1) / 2 * columns, (y0 + y1) / 2 * rows
    column, row = (min(max(int(at), 0), n - 1) for at, n in ((x, columns), (y, rows)))
    where = (image, number, slice(None), row, column)
    target.positive[image, number, row, column] = True
    target.empty[image, number, row, column] = False
    growth = (math.log(width / prior[0]), math.log(height / prior[1]))
    target.boxes[where] = torch.tensor([x - column, y - row, *growth])
    target.labels[where][label] = 1.0


def best_prior(width: float, height: float, priors: Sequence[Anchors]) -> tuple[int, int]:
    """Map and number of the prior that overlaps a box best, their centres being one."""
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
    """Losses of one batch, each a sum over the priors by the number of boxes.

    Args:
        maps: each B x A x (5 + K) x h x w, as from `YoloHead.maps`.
        targets: from `yolo_targets`.
        known: B x K bool; labels that are not known of an image cost nothing.

    Returns:
        `coordinates` (cross-entropy of the place in the cell, squared error of the logarithms),
        `objectness` and `classes` (cross-entropy).
    """
    count = torch.stack([target.positive.sum() for target in targets]).sum().clamp_min(1)
    each = [_level(level.float(), t, known) for level, t in zip(maps, targets, strict=True)]
    coordinates, objectness, classes = (torch.stack(part).sum() for part in zip(*each, strict=True))
    return {
        "coordinates": COORDINATES * coordinates / count,
        "objectness": objectness / count,
        "classes": classes / count,
    }


def _level(level: Tensor, target: YoloTargets, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over one map: coordinates, objectness, classes."""
    at = target.positive
    found, wanted = level.movedim(2, -1)[at], target.boxes.movedim(2, -1)[at]
    labels, image = target.labels.movedim(2, -1)[at], at.nonzero()[:, 0]
    place = F.binary_cross_entropy_with_logits(found[:, :2], wanted[:, :2], reduction="sum")
    growth = F.mse_loss(found[:, 2:4], wanted[:, 2:], reduction="sum")
    full = F.softplus(-found[:, 4]).sum()
    empty = F.softplus(level[:, :, 4][target.empty]).sum()
    classes = F.binary_cross_entropy_with_logits(found[:, 5:], labels, reduction="none")
    return place + growth, full + EMPTY * empty, (classes * known[image]).sum()
