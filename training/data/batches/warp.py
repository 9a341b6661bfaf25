"""Maps of the plane, one for each image of a batch: made, inverted, and applied to images.

Coordinates are x, y in sides of the image, (0, 0) its upper left and (1, 1) its lower right
corner; a map is a 3 x 3 matrix on (x, y, 1), up to a factor.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

CORNERS = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
"""Of the image, in the order in which `perspective` moves them."""


def about_centre(linear: Tensor, shift: Tensor) -> Tensor:
    """B x 2 x 2 linear maps about the centre of the image, then B x 2 shifts -> B x 3 x 3."""
    centre = linear.new_full((2, 1), 0.5)
    moved = shift.unsqueeze(2) + centre - linear @ centre
    last = linear.new_tensor([0.0, 0.0, 1.0]).expand(len(linear), 1, 3)
    return torch.cat([torch.cat([linear, moved], dim=2), last], dim=1)


def perspective(corners: Tensor) -> Tensor:
    """The maps that take the corners of the image to the given points.

    Args:
        corners: B x 4 x 2, upper left, upper right, lower right, lower left.

    Returns:
        B x 3 x 3, from two equations for each corner; the last entry is 1.
    """
    x, y = corners.new_tensor(CORNERS).unbind(1)
    u, v = corners.unbind(2)
    one, none = torch.ones_like(u), torch.zeros_like(u)
    x, y = x.expand_as(u), y.expand_as(u)
    of_u = torch.stack([x, y, one, none, none, none, -u * x, -u * y], dim=2)
    of_v = torch.stack([none, none, none, x, y, one, -v * x, -v * y], dim=2)
    solved = torch.linalg.solve(torch.cat([of_u, of_v], dim=1), torch.cat([u, v], dim=1))
    return torch.cat([solved, one[:, :1]], dim=1).view(-1, 3, 3)


def move(points: Tensor, matrix: Tensor) -> Tensor:
    """... x 2 points under a 3 x 3 map, or under maps whose leading sides broadcast to theirs."""
    moved = points @ matrix[..., :2].mT + matrix[..., 2].unsqueeze(-2)
    return moved[..., :2] / moved[..., 2:]


def sampling_grid(matrix: Tensor, side_px: int, device: torch.device) -> Tensor:
    """Where each pixel of the moved image comes from, as `grid_sample` wants it.

    Args:
        matrix: B x 3 x 3, old coordinates -> new ones, on the CPU: a matrix is inverted there.
        side_px: of the image.
        device: of the images.

    Returns:
        B x side x side x 2 on that device, -1 to 1 from edge to edge.
    """
    back = torch.linalg.inv(matrix).to(device, non_blocking=True)
    middle = (torch.arange(side_px, device=device) + 0.5) / side_px
    entries = back.reshape(-1, 9, 1, 1).unbind(1)
    x, y, scale = (
        entries[i] * middle + (entries[i + 1] * middle.unsqueeze(1) + entries[i + 2])
        for i in (0, 3, 6)
    )
    return torch.stack([x / scale, y / scale], dim=3).mul_(2).sub_(1)


def warp(images: Tensor, grid: Tensor, mode: str) -> Tensor:
    """B x C x S x S images at the points of a grid; black where those lie outside."""
    return F.grid_sample(images, grid, mode=mode, align_corners=False)
