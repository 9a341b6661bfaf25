"""Projective maps of the plane, one for each image of a batch, and their use on images.

Coordinates are (x, y) as fractions of the image side, (0, 0) at the upper left and (1, 1) at the
lower right corner. A map is a 3 x 3 matrix acting on (x, y, 1), defined up to a factor.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

CORNERS = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
"""Corners of the image, in the order of `perspective`."""


def about_centre(linear: Tensor, shift: Tensor) -> Tensor:
    """Return linear maps about the centre of the image, followed by shifts.

    Args:
        linear: B x 2 x 2.
        shift: B x 2.

    Returns:
        B x 3 x 3.
    """
    centre = linear.new_full((2, 1), 0.5)
    moved = shift.unsqueeze(2) + centre - linear @ centre  # B x 2 x 1, keeps the centre fixed
    last = linear.new_tensor([0.0, 0.0, 1.0]).expand(len(linear), 1, 3)
    return torch.cat([torch.cat([linear, moved], dim=2), last], dim=1)


def perspective(corners: Tensor) -> Tensor:
    """Return the maps that take the corners of the image to the given points.

    Args:
        corners: B x 4 x 2, upper left, upper right, lower right, lower left.

    Returns:
        B x 3 x 3 with last entry 1, solved from two equations for each corner.
    """
    x, y = corners.new_tensor(CORNERS).unbind(1)
    u, v = corners.unbind(2)
    one, zero = torch.ones_like(u), torch.zeros_like(u)
    x, y = x.expand_as(u), y.expand_as(u)
    # u * (g x + h y + 1) = a x + b y + c, and likewise v with d, e, f: 8 equations, 8 unknowns.
    rows_u = torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], dim=2)  # B x 4 x 8
    rows_v = torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], dim=2)
    solved = torch.linalg.solve(torch.cat([rows_u, rows_v], dim=1), torch.cat([u, v], dim=1))
    return torch.cat([solved, one[:, :1]], dim=1).view(-1, 3, 3)


def move(points: Tensor, matrix: Tensor) -> Tensor:
    """Apply a 3 x 3 map to ... x 2 points; the leading axes of several maps broadcast."""
    moved = points @ matrix[..., :2].mT + matrix[..., 2].unsqueeze(-2)
    return moved[..., :2] / moved[..., 2:]  # from homogeneous coordinates


def sampling_grid(matrix: Tensor, side_px: int, device: torch.device) -> Tensor:
    """Return the source coordinates of each pixel of the moved images, for `grid_sample`.

    Args:
        matrix: B x 3 x 3, old -> new coordinates, on the CPU, where it is inverted.
        side_px: side of the images.
        device: device of the images.

    Returns:
        B x side x side x 2 on that device, -1 to 1 from edge to edge.
    """
    inverse = torch.linalg.inv(matrix).to(device, non_blocking=True)
    centre = (torch.arange(side_px, device=device) + 0.5) / side_px
    entries = inverse.reshape(-1, 9, 1, 1).unbind(1)
    x, y, scale = (
        entries[i] * centre + (entries[i + 1] * centre.unsqueeze(1) + entries[i + 2])
        for i in (0, 3, 6)
    )
    return torch.stack([x / scale, y / scale], dim=3).mul_(2).sub_(1)


def warp(images: Tensor, grid: Tensor, mode: str) -> Tensor:
    """Sample B x C x S x S images at the points of a grid; points outside are black."""
    return F.grid_sample(images, grid, mode=mode, align_corners=False)
