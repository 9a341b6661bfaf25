r"""YOLOv3: three scales, each of which scores three priors per cell.

    encoder_32 -> neck -------------------------> 3 x 3 conv -> 1 x 1 conv -> map of stride 32
                    \-> 1 x 1, upsample, concat
    encoder_16 ------------------------> neck --> ...                     -> map of stride 16
                                            \-> 1 x 1, upsample, concat
    encoder_8 -------------------------------------------> neck --> ...  -> map of stride 8

Source: Redmon and Farhadi, YOLOv3: An Incremental Improvement, 2018. Decoding is part of the
module: its outputs are boxes and their scores.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.data.batches.collate import Batch
from training.heads.detectors.detector import EncoderDetector
from training.losses.yolo import PRIORS, Priors, YoloTargets, yolo_loss, yolo_targets

MAX_LOG_GROWTH = 6.0
"""Largest logarithm of a side over the side of its prior: ten images for the smallest prior."""
INITIAL_OBJECTNESS = -4.6
"""Logit of the objectness before training: nearly no prior holds a box."""


class YoloHead(EncoderDetector):
    """The necks and the three maps on the encoder's strides 8, 16 and 32.

    Attributes:
        widths: channels of the necks of strides 8, 16 and 32; those of the paper.
    """

    detector = "yolov3"
    widths: ClassVar[tuple[int, int, int]] = (128, 256, 512)

    def __init__(
        self, channels: Sequence[int], labels: int, widths: Sequence[int] | None = None
    ) -> None:
        """Build the layers, so that before training nearly no prior holds a box.

        Args:
            channels: channels of the encoder's maps of strides 8, 16 and 32.
            labels: number of labels, K.
            widths: channels of the necks; None takes those of the class.
        """
        super().__init__()
        fine, middle, deep = widths or self.widths
        inputs = (channels[0] + fine, channels[1] + middle, channels[2])
        neck_widths = (fine, middle, deep)
        self.necks = nn.ModuleList(_neck(c, w) for c, w in zip(inputs, neck_widths, strict=True))
        self.upwards = nn.ModuleList([_conv(middle, fine, 1), _conv(deep, middle, 1)])
        self.answers = nn.ModuleList(_output_layers(width, labels) for width in neck_widths)

    def maps(self, encoder_8: Tensor, encoder_16: Tensor, encoder_32: Tensor) -> list[Tensor]:
        """Return the raw maps of strides 8, 16 and 32, each B x 3 x (5 + K) x h x w.

        The channels of each prior are x and y (through a sigmoid, in cells), the logarithms of
        width and height over the prior's, the objectness, and a logit of each label.
        """
        deep = self.necks[2](encoder_32)
        middle = self.necks[1](torch.cat([_upsample(self.upwards[1](deep)), encoder_16], dim=1))
        fine = self.necks[0](torch.cat([_upsample(self.upwards[0](middle)), encoder_8], dim=1))
        pairs = zip(self.answers, (fine, middle, deep), strict=True)
        return [answer(level).unflatten(1, (3, -1)) for answer, level in pairs]

    def forward(
        self, encoder_8: Tensor, encoder_16: Tensor, encoder_32: Tensor
    ) -> dict[str, Tensor]:
        """Return `logits` B x K x N and `boxes` B x N x 4 in sides of the image, 0 to 1."""
        return decode(self.maps(encoder_8, encoder_16, encoder_32))

    def targets(self, truth: Batch) -> list[YoloTargets]:
        """Return the targets of the maps of strides 8, 16 and 32."""
        height, width = truth.bits.shape[-2:]
        shapes = [(height // stride, width // stride) for stride in (8, 16, 32)]
        return yolo_targets(truth.boxes, truth.boxes_known, shapes)

    def box_losses(
        self, inputs: Sequence[Tensor], targets: list[YoloTargets], known: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses `coordinates`, `objectness` and `classes`."""
        return yolo_loss(self.maps(*inputs), targets, known)


def decode(maps: Sequence[Tensor], priors: Sequence[Priors] = PRIORS) -> dict[str, Tensor]:
    """Return the candidates of raw maps, as `YoloHead.forward` does.

    Args:
        maps: raw maps from `YoloHead.maps`.
        priors: priors of each map, in sides of the image.
    """
    logits = [
        # B x A x K x h x w -> B x K x A x h x w -> B x K x Ahw
        _product_logit(level[:, :, 4:5], level[:, :, 5:]).transpose(1, 2).flatten(2)
        for level in maps
    ]
    boxes = [_boxes(level[:, :, :4], prior) for level, prior in zip(maps, priors, strict=True)]
    return {"logits": torch.cat(logits, dim=2), "boxes": torch.cat(boxes, dim=1)}


def _product_logit(one: Tensor, other: Tensor) -> Tensor:
    """Return the logit of the product of two probabilities that are given as logits.

    1 / p - 1 = e^-a + e^-b + e^-(a + b), and no logit overflows the logarithm of this sum.
    """
    one = one.expand_as(other)
    return -torch.stack([-one, -other, -one - other]).logsumexp(dim=0)


def _boxes(level: Tensor, prior: Priors) -> Tensor:
    """Decode coordinates B x A x 4 x h x w to B x Ahw x 4: x0, y0, x1, y1 in sides of the image."""
    height, width = int(level.shape[3]), int(level.shape[4])
    sides = level.new_tensor([width, height]).view(1, 1, 2, 1, 1)
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    cells = torch.stack([xs, ys]).to(level).view(1, 1, 2, height, width)
    centre = (level[:, :, :2].sigmoid() + cells) / sides  # B x A x 2 x h x w
    half = level.new_tensor(prior).view(1, -1, 2, 1, 1) / 2
    half = half * level[:, :, 2:].clamp(max=MAX_LOG_GROWTH).exp()
    corners = torch.cat([centre - half, centre + half], dim=2).clamp(0, 1)  # B x A x 4 x h x w
    return corners.permute(0, 1, 3, 4, 2).flatten(1, 3)  # B x A x h x w x 4 -> B x Ahw x 4


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.1),
    )


def _neck(inputs: int, width: int) -> nn.Sequential:
    """Return five convolutions that narrow and widen in turn."""
    channels = (inputs, width, 2 * width, width, 2 * width, width)
    kernels = (1, 3, 1, 3, 1)
    return nn.Sequential(
        *(_conv(channels[i], channels[i + 1], kernel) for i, kernel in enumerate(kernels))
    )


def _output_layers(width: int, labels: int) -> nn.Sequential:
    """Return the layers from a neck to its raw map."""
    last = nn.Conv2d(2 * width, 3 * (5 + labels), 1)
    with torch.no_grad():
        torch.as_tensor(last.bias).view(3, -1)[:, 4] = INITIAL_OBJECTNESS
    return nn.Sequential(_conv(width, 2 * width, 3), last)


def _upsample(level: Tensor) -> Tensor:
    return F.interpolate(level, scale_factor=2.0, mode="nearest")
