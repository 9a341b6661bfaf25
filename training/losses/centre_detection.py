"""Losses of the anchor-free detection head: focal on centres, L1 and GIoU on edges."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class BoxTargets:
    """What the head should answer.

    Attributes:
        centres: B x K x h x w in [0, 1]; 1 at the cell of a box's centre, a Gaussian around.
        boxes: B x K x 4 x h x w, the box (x0, y0, x1, y1 in sides) that a positive cell has.
        positive: B x K x h x w bool, the cells whose edges are trained.
        known: B x K bool, whether all boxes of the label in the image are known.
    """

    centres: Tensor
    boxes: Tensor
    positive: Tensor
    known: Tensor


def make_targets(
    boxes: list[dict[int, Tensor]], known: Tensor, height: int, width: int
) -> BoxTargets:
    """Targets on an h x w grid.

    Args:
        boxes: for each image, label -> M x 4 boxes in sides of the image.
        known: B x K bool.
        height, width: of the head's map.
    """
    batch, labels = known.shape
    centres = torch.zeros(batch, labels, height, width)
    edges = torch.zeros(batch, labels, 4, height, width)
    positive = torch.zeros(batch, labels, height, width, dtype=torch.bool)
    ys = ((torch.arange(height) + 0.5) / height).view(-1, 1)
    xs = ((torch.arange(width) + 0.5) / width).view(1, -1)
    for image, of_label in enumerate(boxes):
        for label, rows in of_label.items():
            for box in rows:
                x0, y0, x1, y1 = box.tolist()
                dx, dy = (xs - (x0 + x1) / 2) / (x1 - x0), (ys - (y0 + y1) / 2) / (y1 - y0)
                bump = torch.exp(-(dx**2 + dy**2) / (2 * 0.1**2))
                bump = bump / bump.max()  # exactly 1 at the cell nearest to the centre
                centres[image, label] = torch.maximum(centres[image, label], bump)
                near = bump > 0.6
                positive[image, label] |= near
                edges[image, label, :, near] = box.view(4, 1).cpu()
    there = known.device
    return BoxTargets(centres.to(there), edges.to(there), positive.to(there), known)


def detection_loss(logits: Tensor, distances: Tensor, targets: BoxTargets) -> dict[str, Tensor]:
    """Losses of one batch.

    Args:
        logits: B x K x h x w.
        distances: B x K x 4 x h x w to left, top, right, bottom edge, in sides.
        targets: from `make_targets`.

    Returns:
        `centres` (penalty-reduced focal loss of CenterNet) and `edges` (L1 + 1 - GIoU).
    """
    logits = logits.float()
    probability = logits.sigmoid()
    hit = targets.centres == 1
    for_hits = -((1 - probability) ** 2) * F.logsigmoid(logits)
    for_rest = -((1 - targets.centres) ** 4) * probability**2 * F.logsigmoid(-logits)
    each = torch.where(hit, for_hits, for_rest) * targets.known[:, :, None, None]
    count = (hit & targets.known[:, :, None, None]).sum().clamp_min(1)
    focal = each.sum() / count
    positive = targets.positive & targets.known[:, :, None, None]
    if not positive.any():
        return {"centres": focal, "edges": distances.sum() * 0}
    predicted = distances_to_boxes(distances.float()).movedim(2, -1)[positive]
    wanted = targets.boxes.movedim(2, -1)[positive]
    edges = (predicted - wanted).abs().mean() * 4 + (1 - giou(predicted, wanted)).mean()
    return {"centres": focal, "edges": edges}


def distances_to_boxes(distances: Tensor) -> Tensor:
    """B x K x 4 x h x w distances from the cells' centres -> boxes x0, y0, x1, y1 in sides."""
    height, width = distances.shape[-2:]
    ys = ((torch.arange(height, device=distances.device) + 0.5) / height).view(-1, 1)
    xs = ((torch.arange(width, device=distances.device) + 0.5) / width).view(1, -1)
    left, top, right, bottom = distances.unbind(2)
    return torch.stack([xs - left, ys - top, xs + right, ys + bottom], dim=2)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU of M boxes with M boxes (Rezatofighi 2019), in (-1, 1]."""
    area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    inner = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp_min(0)
    outer = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    overlap, hull = inner.prod(dim=1), outer.prod(dim=1).clamp_min(1e-9)
    union = (area_a + area_b - overlap).clamp_min(1e-9)
    return overlap / union - (hull - union) / hull
