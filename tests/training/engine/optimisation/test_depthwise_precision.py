"""Depthwise convolutions under CPU autocast."""

import torch
from torch import nn

from training.engine.optimisation.depthwise_precision import keep_depthwise_in_full_precision


def test_only_depthwise_convolutions_compute_in_full_precision() -> None:
    """0.1 * 1.001 needs more than the 8 bits of a bfloat16."""
    layers = nn.Sequential(nn.Conv2d(2, 2, 1, groups=2, bias=False), nn.Conv2d(2, 2, 1, bias=False))
    for layer in layers.parameters():
        nn.init.constant_(layer, 1.001)
    keep_depthwise_in_full_precision(layers)
    image = torch.full((1, 2, 1, 1), 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        depthwise, full = layers[0](image), layers[1](image)
    assert depthwise.dtype is torch.float32
    torch.testing.assert_close(depthwise, image * 1.001, rtol=1e-6, atol=0)
    assert full.dtype is torch.bfloat16


def test_a_depthwise_convolution_keeps_the_type_of_its_input() -> None:
    layer = nn.Conv2d(2, 2, 1, groups=2)
    keep_depthwise_in_full_precision(layer)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.ones(1, 2, 1, 1, dtype=torch.bfloat16)).dtype is torch.bfloat16
