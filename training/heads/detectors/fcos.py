"""FCOS: each cell of a feature pyramid predicts the distances to the edges of its box.

    encoder_8, encoder_16, encoder_32 -> FeaturePyramidNetwork -> FCOSHead -> scores, distances

Source: Tian et al., FCOS: Fully Convolutional One-Stage Object Detection, ICCV 2019. Pyramid,
head, assignment of cells to boxes, and losses are torchvision's. The pyramid ends at stride 32,
whose cells also learn the boxes that its further levels would have. Decoding is part of the
module: its outputs are boxes and their scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.fcos import FCOS, FCOSHead
from torchvision.ops import FeaturePyramidNetwork, sigmoid_focal_loss

from training.data.batches.collate import Batch
from training.heads.detectors.detector import EncoderDetector
from training.losses.box_overlap import giou_losses

STRIDES = (8, 16, 32)
UNKNOWN = -100.0
"""A logit that, as a negative, has neither a loss nor a gradient."""


@dataclass(frozen=True)
class FcosMaps:
    """Raw predictions of the N cells of all levels.

    Attributes:
        scores: B x N x K logits.
        distances: B x N x 4 to the left, top, right and bottom edge, in cells, 0 or more.
        centreness: B x N x 1 logits.
        cells: N x 4, x0, y0, x1, y1 of the cells in pixels.
        each: number of cells of each level.
        size_px: width and height of the image.
    """

    scores: Tensor
    distances: Tensor
    centreness: Tensor
    cells: Tensor
    each: tuple[int, ...]
    size_px: tuple[int, int]


@dataclass(frozen=True)
class FcosTargets:
    """Targets of the N cells of all levels.

    Attributes:
        labels: B x N int64, the label of the box that the cell learns; -1 if it learns none.
        boxes: B x N x 4, that box in pixels: x0, y0, x1, y1.
        centreness: B x N in [0, 1].
    """

    labels: Tensor
    boxes: Tensor
    centreness: Tensor


class FcosHead(EncoderDetector):
    """A feature pyramid on the encoder's strides 8, 16 and 32, and the head that it shares."""

    detector = "fcos"
    center_sampling_radius = 1.5
    """Distance in cells from its centre up to which a cell learns a box."""

    def __init__(self, channels: Sequence[int], labels: int, width: int = 128) -> None:
        """Build the layers, so that before training a box is two cells wide and nearly never found.

        Args:
            channels: channels of the encoder's maps of strides 8, 16 and 32.
            labels: number of labels, K.
            width: channels of pyramid and head, divisible by 32 (256 in the paper).
        """
        super().__init__()
        self.pyramid = FeaturePyramidNetwork(list(channels), width)
        self.head = FCOSHead(width, num_anchors=1, num_classes=labels)
        # With a bias of 0, half of the distances would start below 0, where they have no gradient.
        nn.init.ones_(self.head.regression_head.bbox_reg.bias)

    def maps(self, encoder_8: Tensor, encoder_16: Tensor, encoder_32: Tensor) -> FcosMaps:
        """Return the raw predictions of all levels."""
        named = {"8": encoder_8, "16": encoder_16, "32": encoder_32}
        levels = list(self.pyramid(named).values())
        raw = self.head(levels)
        shapes = [(int(level.shape[2]), int(level.shape[3])) for level in levels]
        device = encoder_8.device
        cells = [
            _cells(shape, stride, device) for shape, stride in zip(shapes, STRIDES, strict=True)
        ]
        return FcosMaps(
            raw["cls_logits"],
            raw["bbox_regression"],
            raw["bbox_ctrness"],
            torch.cat(cells).float(),
            tuple(len(level) for level in cells),
            (shapes[0][1] * STRIDES[0], shapes[0][0] * STRIDES[0]),
        )

    def forward(
        self, encoder_8: Tensor, encoder_16: Tensor, encoder_32: Tensor
    ) -> dict[str, Tensor]:
        """Return `logits` B x K x N and `boxes` B x N x 4 in sides of the image, 0 to 1."""
        maps = self.maps(encoder_8, encoder_16, encoder_32)
        boxes = self.head.box_coder.decode(maps.distances, maps.cells)  # B x N x 4 in pixels
        logits = mean_logit(maps.scores, maps.centreness).transpose(1, 2)  # B x N x K -> B x K x N
        return {"logits": logits, "boxes": (boxes / boxes.new_tensor(maps.size_px * 2)).clamp(0, 1)}

    def targets(self, truth: Batch) -> FcosTargets:
        """Return the targets of all cells."""
        height, width = truth.bits.shape[-2:]
        return fcos_targets(truth.boxes, (width, height), self.center_sampling_radius)

    def box_losses(
        self, inputs: Sequence[Tensor], targets: FcosTargets, known: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses `classification`, `edges` and `centreness`."""
        return self.losses_of(self.maps(*inputs), targets, known)

    def losses_of(self, maps: FcosMaps, targets: FcosTargets, known: Tensor) -> dict[str, Tensor]:
        """Return the losses for the raw predictions of one batch, divided by the positive cells.

        They are torchvision's. Weights take the place of a selection of the positive cells, whose
        number the host would have to wait for.

        Args:
            maps: predictions from `maps`.
            targets: targets of the cells.
            known: B x K bool; a label that is not known in an image has no loss there.

        Returns:
            `classification` (focal), `edges` (1 - GIoU) and `centreness` (cross-entropy).
        """
        scores = torch.where(known.unsqueeze(1), maps.scores.float(), UNKNOWN)  # B x N x K
        labels = torch.arange(scores.shape[2], device=scores.device)
        true = (targets.labels.unsqueeze(2) == labels).float()
        positive = (targets.labels >= 0).float()  # B x N
        boxes = self.head.box_coder.decode(maps.distances.float(), maps.cells.float())
        centreness = F.binary_cross_entropy_with_logits(
            maps.centreness.float().squeeze(2), targets.centreness, reduction="none"
        )
        count = positive.sum().clamp_min(1)
        return {
            "classification": sigmoid_focal_loss(scores, true, reduction="sum") / count,
            "edges": torch.sum(giou_losses(boxes, targets.boxes) * positive) / count,
            "centreness": torch.sum(centreness * positive) / count,
        }


class _Matcher:
    """Assigns cells to boxes by the rule that is part of torchvision's loss."""

    def __init__(self, center_sampling_radius: float) -> None:
        """Take the radius under the name by which the loss reads it."""
        self.center_sampling_radius = center_sampling_radius
        self.head = self

    def compute_loss(
        self, targets: object, outputs: object, anchors: object, matched: list[Tensor]
    ) -> list[Tensor]:
        del targets, outputs, anchors
        return matched


def fcos_targets(
    boxes: Sequence[dict[int, Tensor]], size_px: tuple[int, int], radius: float
) -> FcosTargets:
    """Return the targets of the cells of all levels, on the CPU.

    Args:
        boxes: for each image, label -> M x 4 boxes in sides of the image.
        size_px: width and height of the images.
        radius: distance in cells from its centre up to which a cell learns a box.
    """
    host = torch.device("cpu")
    levels = [_cells((size_px[1] // s, size_px[0] // s), s, host) for s in STRIDES]
    cells, each = torch.cat(levels).float(), [len(level) for level in levels]
    drawn = [_in_pixels(of_label, size_px) for of_label in boxes]
    matcher: Any = _Matcher(radius)
    matched = FCOS.compute_loss(matcher, drawn, {}, [cells] * len(boxes), each)
    rows = [_of_cells(one, match) for one, match in zip(drawn, matched, strict=True)]
    labels, desired = (torch.stack(part) for part in zip(*rows, strict=True))
    return FcosTargets(labels, desired, _centreness(cells, desired) * (labels >= 0))


def _of_cells(drawn: dict[str, Tensor], matched: Tensor) -> tuple[Tensor, Tensor]:
    """Return label (N, -1 for none) and box (N x 4) of each cell of one image."""
    if not len(drawn["labels"]):
        return torch.full_like(matched, -1), torch.zeros(len(matched), 4)
    at = matched.clamp_min(0)
    return torch.where(matched < 0, -1, drawn["labels"][at]), drawn["boxes"][at]


def _centreness(cells: Tensor, boxes: Tensor) -> Tensor:
    """Return the centreness of the centres of N cells in B x N boxes; 0 outside of them."""
    centres = (cells[:, :2] + cells[:, 2:]) / 2
    before, after = centres - boxes[..., :2], boxes[..., 2:] - centres  # B x N x 2
    ratio = torch.minimum(before, after) / torch.maximum(before, after).clamp_min(1e-6)
    return ratio.clamp_min(0).prod(dim=-1).sqrt()


def mean_logit(one: Tensor, other: Tensor) -> Tensor:
    """Return the logit of the geometric mean of two probabilities that are given as logits.

    With p the logarithm of the product, the mean is s = e^(p / 2), and 1 - s = (1 - e^p) / (1 + s).
    Nothing in this overflows, and s is never so close to 1 that 1 - s is lost.

    Args:
        one, other: logits that broadcast to one shape.
    """
    one, other = torch.broadcast_tensors(one, other)
    # log((1 - product) / product), because 1 / product - 1 = e^-a + e^-b + e^-(a + b)
    odds = torch.stack([-one, -other, -one - other]).logsumexp(dim=0)
    half = -F.softplus(odds) / 2  # log s
    return half + F.softplus(-odds) + torch.log1p(half.exp())  # log s - log(1 - s)


def _cells(shape: tuple[int, int], stride: int, device: torch.device) -> Tensor:
    """Return the cells of a level, row by row: N x 4, x0, y0, x1, y1 in pixels.

    They are made on the device: a copy from the host would wait for it.
    """
    rows, columns = (torch.arange(side, device=device) for side in shape)
    ys, xs = torch.meshgrid(rows, columns, indexing="ij")
    corner = torch.stack([xs, ys], dim=2).view(-1, 2) * stride  # h x w x 2 -> N x 2
    return torch.cat([corner, corner + stride], dim=1)


def _in_pixels(of_label: dict[int, Tensor], size_px: tuple[int, int]) -> dict[str, Tensor]:
    """Return the boxes of one image as torchvision takes them, in pixels."""
    boxes = list(of_label.values())
    counts = torch.tensor([len(rows) for rows in boxes], dtype=torch.long)
    labels = torch.tensor(list(of_label), dtype=torch.long).repeat_interleave(counts)
    joined = torch.cat([torch.zeros(0, 4), *boxes])  # M x 4, also without a box
    return {"boxes": joined * joined.new_tensor(size_px * 2), "labels": labels}
