"""Layers that several heads share."""

from torch import nn


def conv_block(inputs: int, outputs: int) -> nn.Sequential:
    """Return a 3 x 3 convolution with batch normalisation and ReLU; the size stays the same."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def with_bias(conv: nn.Conv2d, value: float) -> nn.Conv2d:
    """Set every bias of a convolution, which is about what it outputs before training."""
    if conv.bias is not None:
        nn.init.constant_(conv.bias, value)
    return conv
