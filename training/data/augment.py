"""Random changes of a batch of training images, with their masks and boxes.

Never a flip: it would swap the patient's left and right. Every change is drawn from a
generator that the caller seeds, so that a resumed run sees the same images.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from training.config import AugmentConfig


@dataclass(frozen=True)
class Augmented:
    """A changed batch.

    Attributes:
        images: B x 1 x S x S in [0, 1].
        masks: B x S x S, uint8 bits, or None.
        affine: B x 2 x 3, old pixel coordinates -> new ones, in units of the image's side.
    """

    images: Tensor
    masks: Tensor | None
    affine: Tensor

    def move_boxes(self, index: int, boxes: Tensor) -> Tensor:
        """M x 4 boxes (x0, y0, x1, y1 in sides) of one image -> bounds after the change."""
        corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        moved = corners @ self.affine[index, :, :2].T + self.affine[index, :, 2]
        return torch.cat([moved.amin(dim=1), moved.amax(dim=1)], dim=1).clamp(0, 1)


def augment(
    images: Tensor, masks: Tensor | None, config: AugmentConfig, generator: Generator
) -> Augmented:
    """Rotate, scale, shift; gamma, contrast and noise.

    Args:
        images: B x 1 x S x S in [0, 1].
        masks: B x S x S, uint8 bits, or None.
        config: how strong.
        generator: CPU generator; equal seeds give equal batches.
    """
    affine = _random_affine(len(images), config, generator).to(images.device)
    grid = F.affine_grid(_inverse_theta(affine), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, mode="bilinear", align_corners=False)
    bits = None
    if masks is not None:
        as_float = masks.unsqueeze(1).float()
        bits = F.grid_sample(as_float, grid, mode="nearest", align_corners=False)
        bits = bits.squeeze(1).to(torch.uint8)
    return Augmented(_intensity(moved, config, generator), bits, affine)


def _uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low


def _random_affine(count: int, config: AugmentConfig, generator: Generator) -> Tensor:
    """Forward maps about the centre, in units of the side, B x 2 x 3."""
    angle = _uniform(count, -config.rotate_deg, config.rotate_deg, generator) * math.pi / 180
    scale = _uniform(count, 1 - config.scale, 1 + config.scale, generator)
    shift = torch.stack(
        [_uniform(count, -config.translate, config.translate, generator) for _ in range(2)], dim=1
    )
    cos, sin = scale * angle.cos(), scale * angle.sin()
    linear = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], dim=1)
    centre = torch.full((2, 1), 0.5)
    return torch.cat([linear, shift.unsqueeze(2) + centre - linear @ centre], dim=2)


def _inverse_theta(affine: Tensor) -> Tensor:
    """Forward maps in sides -> the sampling maps of `affine_grid`, in [-1, 1]."""
    linear = torch.linalg.inv(affine[:, :, :2])
    centre = torch.full((2, 1), 0.5, device=affine.device)
    offset = linear @ (centre - affine[:, :, 2:]) - centre
    return torch.cat([linear, 2 * offset], dim=2)


def _intensity(images: Tensor, config: AugmentConfig, generator: Generator) -> Tensor:
    """Gamma, contrast about the mean, and noise; stays in [0, 1]."""
    count, device = len(images), images.device
    exponent = _uniform(count, -1.0, 1.0, generator) * -math.log(1 - config.gamma)
    factor = _uniform(count, 1 - config.contrast, 1 + config.contrast, generator)
    sigma = _uniform(count, 0.0, config.noise, generator)
    noise = torch.randn(images.shape, generator=generator).to(device)
    shaped = images.clamp(0, 1) ** exponent.exp().view(-1, 1, 1, 1).to(device)
    mean = shaped.mean(dim=(1, 2, 3), keepdim=True)
    changed = (shaped - mean) * factor.view(-1, 1, 1, 1).to(device) + mean
    return (changed + sigma.view(-1, 1, 1, 1).to(device) * noise).clamp(0, 1)
