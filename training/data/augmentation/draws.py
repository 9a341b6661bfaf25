"""Random numbers for each image of a batch, drawn on the CPU from a seeded generator."""

import torch
from torch import Generator, Tensor


def uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    """Return `count` numbers between `low` and `high`."""
    return torch.rand(count, generator=generator) * (high - low) + low


def chosen(count: int, share: float, generator: Generator) -> Tensor:
    """Return `count` bool, each True with probability `share`."""
    return torch.rand(count, generator=generator) < share


def per_image(images: Tensor, drawn: Tensor) -> Tensor:
    """Move one number for each image to the device of the images, as B x 1 x 1 x 1."""
    return drawn.view(-1, 1, 1, 1).to(images.device, non_blocking=True)
