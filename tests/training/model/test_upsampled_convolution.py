"""The short way through a decoder block gives the maps and the gradients of the long one."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.config.model import EncoderConfig
from training.model import image_encoder
from training.model.image_encoder import build_unet, encode, run_decoder
from training.model.upsampled_convolution import convolve_upsampled


def _long_way(small: Tensor, skip: Tensor | None, weight: Tensor) -> Tensor:
    large = F.interpolate(small, scale_factor=2, mode="nearest")
    return F.conv2d(large if skip is None else torch.cat([large, skip], 1), weight, padding=1)


@pytest.mark.parametrize("skips", [0, 3])
@pytest.mark.parametrize("channels", [4, 40], ids=["wide", "deep"])
def test_maps_and_gradients_are_those_of_the_enlarged_map(skips: int, channels: int) -> None:
    draw = torch.Generator().manual_seed(0)
    shapes = [(2, channels, 3, 5), (5, channels + skips, 3, 3), (2, skips, 6, 10)][
        : 2 + (skips > 0)
    ]
    inputs = [torch.randn(s, generator=draw, dtype=torch.float64).requires_grad_() for s in shapes]
    small, weight, skip = inputs[0], inputs[1], inputs[2] if skips else None
    ours, theirs = (way(small, skip, weight) for way in (convolve_upsampled, _long_way))
    torch.testing.assert_close(ours, theirs)
    cotangent = torch.randn(ours.shape, generator=draw, dtype=torch.float64)
    for a, b in zip(
        torch.autograd.grad(ours, inputs, cotangent),
        torch.autograd.grad(theirs, inputs, cotangent),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_a_step_in_bfloat16_runs_the_blocks_of_deep_maps_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image_encoder, "convolve_upsampled", None)  # calling it would fail
    config = EncoderConfig(name="resnet18", weights=None, decoder_channels=(16, 16, 8, 8, 8))
    unet = build_unet(config).train()
    with torch.autocast("cpu", torch.bfloat16):
        maps = encode(unet, torch.rand(2, 1, 32, 32))
        (block, *_), deep = unet.decoder.blocks, unet.decoder.center(maps[-1])
        output = image_encoder._run_block(block, deep, (2, 2), maps[-2])
    assert output.shape == (2, 16, 2, 2)


def test_a_step_of_training_decodes_as_the_exported_graph_does() -> None:
    torch.manual_seed(0)
    config = EncoderConfig(name="resnet18", weights=None, decoder_channels=(16, 16, 8, 8, 8))
    unet = build_unet(config).double()
    unet.train()
    for layer in unet.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 0.0  # both passes normalise by their batch
    maps = encode(unet, torch.rand(2, 1, 96, 64, dtype=torch.float64))
    ours = run_decoder(unet, maps, (96, 64))
    x, skips = unet.decoder.center(maps[-1]), [*maps[:-1][::-1], None]
    for block, stride, skip in zip(unet.decoder.blocks, ours, skips, strict=True):
        x = block(x, 96 // stride, 64 // stride, skip_connection=skip)
        torch.testing.assert_close(ours[stride], x)
