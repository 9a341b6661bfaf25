"""Targets and losses of the centre detector: focal loss of the centres, L1 and GIoU of the edges.

Source: Zhou et al., Objects as Points, 2019; Rezatofighi et al., Generalized Intersection over
Union, CVPR 2019.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses.box_overlap import giou_losses

L1_WEIGHT = 4
"""Factor of the mean absolute error of the four edges, which makes it their sum."""
CENTRE_SIGMA = 0.1
"""Standard deviation of the target around a centre, in sides of the box."""
POSITIVE_FROM = 0.6
"""Value of the target from which on a cell learns the edges of the box."""


@dataclass(frozen=True)
class BoxTargets:
    """Targets on the grid of the head.

    Attributes:
        centres: B x K x h x w in [0, 1]; 1 at the cell of a box's centre, a Gaussian around it.
        boxes: B x K x 4 x h x w, the box (x0, y0, x1, y1 in sides) of each positive cell.
        positive: B x K x h x w bool, the cells whose edges are trained.
        known: B x K bool, True if all boxes of the label in the image are known.
    """

    centres: Tensor
    boxes: Tensor
    positive: Tensor
    known: Tensor


def make_targets(
    boxes: list[dict[int, Tensor]], known: Tensor, height: int, width: int
) -> BoxTargets:
    """Return the targets on an h x w grid, on the CPU: they are filled box by box.

    Args:
        boxes: for each image, label -> M x 4 boxes in sides of the image.
        known: B x K bool.
        height, width: size of the head's map.
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
                # h x w distances from the centre, in sides of the box
                dx, dy = (xs - (x0 + x1) / 2) / (x1 - x0), (ys - (y0 + y1) / 2) / (y1 - y0)
                bump = torch.exp(-(dx**2 + dy**2) / (2 * CENTRE_SIGMA**2))
                bump = bump / bump.max()  # exactly 1 at the cell nearest to the centre
                centres[image, label] = torch.maximum(centres[image, label], bump)
                near = bump > POSITIVE_FROM
                positive[image, label] |= near
                edges[image, label, :, near] = box.view(4, 1)
    return BoxTargets(centres, edges, positive, known)


def detection_loss(logits: Tensor, distances: Tensor, targets: BoxTargets) -> dict[str, Tensor]:
    """Return the losses of one batch.

    Args:
        logits: B x K x h x w.
        distances: B x K x 4 x h x w to left, top, right, bottom edge, in sides.
        targets: targets from `make_targets`.

    Returns:
        `centres` (penalty-reduced focal loss of CenterNet) and `edges` (mean of `edge_losses`).
    """
    logits = logits.float()
    probability = logits.sigmoid()
    known = targets.known[:, :, None, None]  # B x K x 1 x 1
    hit = targets.centres == 1
    loss_of_hits = -((1 - probability) ** 2) * F.logsigmoid(logits)
    # Cells near a centre are penalised less: their boxes would be nearly right.
    loss_of_rest = -((1 - targets.centres) ** 4) * probability**2 * F.logsigmoid(-logits)
    each = torch.where(hit, loss_of_hits, loss_of_rest) * known
    count = (hit & known).sum().clamp_min(1)
    # Weights in place of a selection, whose size the host would have to wait for.
    positive = (targets.positive & known).float()
    # B x K x 4 x h x w -> channels last
    predicted = distances_to_boxes(distances.float()).movedim(2, -1)
    edges = edge_losses(predicted, targets.boxes.movedim(2, -1)) * positive
    return {
        "centres": each.sum() / count,
        "edges": edges.sum() / positive.sum().clamp_min(1),
    }


def edge_losses(predicted: Tensor, desired: Tensor) -> Tensor:
    """Return L1 + (1 - GIoU) of each pair of boxes.

    Args:
        predicted, desired: ... x 4, x0, y0, x1, y1 in sides of the image.
    """
    return L1_WEIGHT * (predicted - desired).abs().mean(dim=-1) + giou_losses(predicted, desired)


def distances_to_boxes(distances: Tensor) -> Tensor:
    """Return the boxes of distances that are measured from the centres of the cells.

    Args:
        distances: B x K x 4 x h x w to left, top, right, bottom edge, in sides.

    Returns:
        B x K x 4 x h x w: x0, y0, x1, y1 in sides.
    """
    height, width = distances.shape[-2:]
    ys = ((torch.arange(height, device=distances.device) + 0.5) / height).view(-1, 1)
    xs = ((torch.arange(width, device=distances.device) + 0.5) / width).view(1, -1)
    left, top, right, bottom = distances.unbind(2)
    return torch.stack([xs - left, ys - top, xs + right, ys + bottom], dim=2)
