r"""YOLOv3: three scales that each score three priors a cell (Redmon & Farhadi 2018).

    encoder_32 -> neck -------------------------> 3 x 3 conv -> 1 x 1 conv -> map of stride 32
                    \-> 1 x 1, upsample, concat
    encoder_16 ------------------------> neck --> ...                     -> map of stride 16
                                            \-> 1 x 1, upsample, concat
    encoder_8 -------------------------------------------> neck --> ...  -> map of stride 8

Decoding is part of the module: what it answers are boxes and their scores.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Anchors = Sequence[tuple[float, float]]

PRIORS: tuple[Anchors, ...] = tuple(
    tuple((width / 416, height / 416) for width, height in scale)
    for scale in (
        ((10, 13), (16, 30), (33, 23)),
        ((30, 61), (62, 45), (59, 119)),
        ((116, 90), (156, 198), (373, 326)),
    )
)
"""Widths and heights of the boxes of strides 8, 16, 32, in sides of the image.

The paper's, which are pixels of 416, so that they are the same share of an image of any size.
"""
MOST_GROWTH = 6.0
"""Largest logarithm of a side over its prior's: ten images for the smallest prior."""
USUAL_SCORE = -4.6
"""Logit of the objectness before training: nearly no prior holds a box."""


class YoloHead(nn.Module):
    """The neck and the three maps on the encoder's strides 8, 16 and 32."""

    inputs = ("encoder_8", "encoder_16", "encoder_32")
    form = "candidates"

    def __init__(
        self, channels: Sequence[int], labels: int, widths: Sequence[int] = (128, 256, 512)
    ) -> None:
        """Build it, to answer that nearly no prior holds a box.

        Args:
            channels: of the encoder's maps of strides 8, 16, 32.
            labels: K.
            widths: of the necks; the paper's by default.
        """
        super().__init__()
        fine, middle, deep = widths
        before = (channels[0] + fine, channels[1] + middle, channels[2])
        self.necks = nn.ModuleList(_neck(c, w) for c, w in zip(before, widths, strict=True))
        self.upwards = nn.ModuleList([_conv(middle, fine, 1), _conv(deep, middle, 1)])
        self.answers = nn.ModuleList(_answer(width, labels) for width in widths)

    def maps(self, encoder_8: Tensor, encoder_16: Tensor, encoder_32: Tensor) -> list[Tensor]:
        """Raw maps of strides 8, 16, 32, each B x 3 x (5 + K) x h x w.

        Of each prior: x, y (through a sigmoid, in cells), logarithms of width and height over
        the prior's, objectness, and a logit of each label.
        """
        deep = self.necks[2](encoder_32)
        middle = self.necks[1](torch.cat([_larger(self.upwards[1](deep)), encoder_16], dim=1))
        fine = self.necks[0](torch.cat([_larger(self.upwards[0](middle)), encoder_8], dim=1))
        pairs = zip(self.answers, (fine, middle, deep), strict=True)
        return [answer(level).unflatten(1, (3, -1)) for answer, level in pairs]

    def forward(
        self, encoder_8: Tensor, encoder_16: Tensor, encoder_32: Tensor
    ) -> dict[str, Tensor]:
        """The encoder's maps -> `logits` B x K x N, `boxes` B x N x 4 in sides, 0 to 1."""
        return decode(self.maps(encoder_8, encoder_16, encoder_32))


def decode(maps: Sequence[Tensor], priors: Sequence[Anchors] = PRIORS) -> dict[str, Tensor]:
    """Raw maps -> candidates.

    Args:
        maps: as from `YoloHead.maps`.
        priors: of each map, in sides.
    """
    logits = [_both(level[:, :, 4:5], level[:, :, 5:]).transpose(1, 2).flatten(2) for level in maps]
    boxes = [_boxes(level[:, :, :4], prior) for level, prior in zip(maps, priors, strict=True)]
    return {"logits": torch.cat(logits, dim=2), "boxes": torch.cat(boxes, dim=1)}


def _both(one: Tensor, other: Tensor) -> Tensor:
    """The logit of the product of two probabilities, from their logits.

    1 / p - 1 = e^-a + e^-b + e^-(a + b), whose logarithm no logit overflows.
    """
    one = one.expand_as(other)
    return -torch.stack([-one, -other, -one - other]).logsumexp(dim=0)


def _boxes(level: Tensor, prior: Anchors) -> Tensor:
    """B x A x 4 x h x w -> B x (A h w) x 4, x0, y0, x1, y1 in sides of the image."""
    height, width = int(level.shape[3]), int(level.shape[4])
    sides = level.new_tensor([width, height]).view(1, 1, 2, 1, 1)
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    cells = torch.stack([xs, ys]).to(level).view(1, 1, 2, height, width)
    centre = (level[:, :, :2].sigmoid() + cells) / sides
    half = level.new_tensor(prior).view(1, -1, 2, 1, 1) / 2
    half = half * level[:, :, 2:].clamp(max=MOST_GROWTH).exp()
    corners = torch.cat([centre - half, centre + half], dim=2).clamp(0, 1)
    return corners.permute(0, 1, 3, 4, 2).flatten(1, 3)


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.1),
    )


def _neck(inputs: int, width: int) -> nn.Sequential:
    """Five convolutions that narrow and widen in turn."""
    channels = (inputs, width, 2 * width, width, 2 * width, width)
    kernels = (1, 3, 1, 3, 1)
    return nn.Sequential(
        *(_conv(channels[i], channels[i + 1], kernel) for i, kernel in enumerate(kernels))
    )


def _answer(width: int, labels: int) -> nn.Sequential:
    last = nn.Conv2d(2 * width, 3 * (5 + labels), 1)
    with torch.no_grad():
        torch.as_tensor(last.bias).view(3, -1)[:, 4] = USUAL_SCORE
    return nn.Sequential(_conv(width, 2 * width, 3), last)


def _larger(level: Tensor) -> Tensor:
    return F.interpolate(level, scale_factor=2.0, mode="nearest")
