"""Depthwise convolutions in full precision on the CPU.

oneDNN has no fast gradient of a depthwise convolution in bfloat16: that of a 5 x 5 kernel takes
four times as long as in full precision, while every other convolution takes a quarter.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def keep_depthwise_in_full_precision(module: nn.Module) -> None:
    """Let the depthwise convolutions of a module compute in float32 under CPU autocast."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels:
            layer.forward = _in_full_precision(layer.forward)  # type: ignore[assignment]


def _in_full_precision(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def run(images: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return forward(images.float()).to(images.dtype)

    return run
