"""Generalized IoU of pairs of boxes, as a loss.

Source: Rezatofighi et al., Generalized Intersection over Union, CVPR 2019.
"""

import torch
from torch import Tensor

_LEAST = 1e-7
"""Least area that is divided by."""


def giou_losses(predicted: Tensor, desired: Tensor) -> Tensor:
    """Return 1 - GIoU of each pair of boxes, in [0, 2].

    The values are those of `torchvision.ops.generalized_box_iou_loss`, which selects the pairs that
    overlap by a mask, so that the host waits for the device.

    Args:
        predicted, desired: ... x 4, x0, y0, x1, y1 with x0 <= x1 and y0 <= y1.
    """
    inner = _area(
        torch.maximum(predicted[..., :2], desired[..., :2]),
        torch.minimum(predicted[..., 2:], desired[..., 2:]),
    )
    outer = _area(
        torch.minimum(predicted[..., :2], desired[..., :2]),
        torch.maximum(predicted[..., 2:], desired[..., 2:]),
    )
    areas = [_area(boxes[..., :2], boxes[..., 2:]) for boxes in (predicted, desired)]
    union = areas[0] + areas[1] - inner
    return 1 - inner / (union + _LEAST) + (outer - union) / (outer + _LEAST)


def _area(start: Tensor, end: Tensor) -> Tensor:
    """Return the area between two corners, ... x 2; 0 where the second is not beyond the first."""
    return (end - start).clamp_min(0).prod(dim=-1)
