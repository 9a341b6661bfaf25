"""FCOS: each cell of a feature pyramid says how far the edges of its box are (Tian 2019).

encoder_8, encoder_16, encoder_32 -> FeaturePyramidNetwork -> FCOSHead -> scores and distances

Pyramid, head, the choice of the cells that learn a box, and the loss are torchvision's; the
pyramid ends at stride 32, whose cells also learn the boxes that its further levels would have.
Decoding is part of the module: what it answers are boxes and their scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.fcos import FCOS, FCOSHead
from torchvision.ops import FeaturePyramidNetwork

STRIDES = (8, 16, 32)
UNKNOWN = -100.0
"""A logit that neither costs anything as a negative nor has a gradient."""


@dataclass(frozen=True)
class FcosMaps:
    """What the head says of the N cells of all levels.

    Attributes:
        scores: B x N x K logits.
        distances: B x N x 4 to the left, top, right and bottom edge, in cells, 0 or more.
        centreness: B x N x 1 logits.
        cells: N x 4, the cells in pixels.
        each: number of cells of each level.
        size_px: width and height of the image.
    """

    scores: Tensor
    distances: Tensor
    centreness: Tensor
    cells: Tensor
    each: tuple[int, ...]
    size_px: tuple[int, int]


class FcosHead(nn.Module):
    """A feature pyramid on the encoder's strides 8, 16 and 32, and the head that it shares."""

    inputs = ("encoder_8", "encoder_16", "encoder_32")
    form = "candidates"
    center_sampling_radius = 1.5
    """In cells: so near to its centre a cell learns a box. Read by torchvision's loss."""

    def __init__(self, channels: Sequence[int], labels: int, width: int = 128) -> None:
        """Build it, to answer boxes of two cells that nearly never hold something.

        Args:
            channels: of the encoder's maps of strides 8, 16, 32.
            labels: K.
            width: of pyramid and head, divisible by 32 (256 in the paper).
        """
        super().__init__()
        self.pyramid = FeaturePyramidNetwork(list(channels), width)
        self.head = FCOSHead(width, num_anchors=1, num_classes=labels)
        # half of the distances would start below 0, where they have no gradient
        nn.init.ones_(self.head.regression_head.bbox_reg.bias)

    def maps(self, encoder_8: Tensor, encoder_16: Tensor, encoder_32: Tensor) -> FcosMaps:
        """The raw answers."""
        named = {"8": encoder_8, "16": encoder_16, "32": encoder_32}
        levels = list(self.pyramid(named).values())
        raw = self.head(levels)
        shapes = [(int(level.shape[2]), int(level.shape[3])) for level in levels]
        cells = [_cells(shape, stride) for shape, stride in zip(shapes, STRIDES, strict=True)]
        return FcosMaps(
            raw["cls_logits"],
            raw["bbox_regression"],
            raw["bbox_ctrness"],
            torch.cat(cells).to(encoder_8.device, torch.float32),
            tuple(len(level) for level in cells),
            (shapes[0][1] * STRIDES[0], shapes[0][0] * STRIDES[0]),
        )

    def forward(
        self, encoder_8: Tensor, encoder_16: Tensor, encoder_32: Tensor
    ) -> dict[str, Tensor]:
        """The encoder's maps -> `logits` B x K x N, `boxes` B x N x 4 in sides, 0 to 1."""
        maps = self.maps(encoder_8, encoder_16, encoder_32)
        boxes = self.head.box_coder.decode(maps.distances, maps.cells)
        logits = mean_logit(maps.scores, maps.centreness).transpose(1, 2)
        return {"logits": logits, "boxes": (boxes / boxes.new_tensor(maps.size_px * 2)).clamp(0, 1)}

    def losses(
        self, maps: FcosMaps, boxes: Sequence[dict[int, Tensor]], known: Tensor
    ) -> dict[str, Tensor]:
        """The losses of torchvision for one batch.

        Args:
            maps: from `maps`.
            boxes: for each image, label -> M x 4 boxes in sides of the image.
            known: B x K bool; labels that are not known of an image cost nothing.

        Returns:
            `classification` (focal), `edges` (1 - GIoU) and `centreness` (cross-entropy).
        """
        cells = maps.cells.float()
        outputs = {
            "cls_logits": torch.where(known.unsqueeze(1), maps.scores.float(), UNKNOWN),
            "bbox_regression": maps.distances.float(),
            "bbox_ctrness": maps.centreness.float(),
        }
        targets = [_targets(of_label, maps.size_px, cells.device) for of_label in boxes]
        found = FCOS.compute_loss(self, targets, outputs, [cells] * len(boxes), list(maps.each))
        names = {"classification": "classification", "bbox_regression": "edges"}
        names["bbox_ctrness"] = "centreness"
        return {names[name]: value for name, value in found.items()}


def mean_logit(one: Tensor, other: Tensor) -> Tensor:
    """The logit of the geometric mean of two probabilities, from their logits.

    With p the logarithm of the product, the mean is s = e^(p / 2), and 1 - s = (1 - e^p) / (1 + s):
    no logit overflows any of it, and s is never so near to 1 that 1 - s is lost.
    """
    one, other = torch.broadcast_tensors(one, other)
    odds = torch.stack([-one, -other, -one - other]).logsumexp(dim=0)  # of not both, in logarithms
    half = -F.softplus(odds) / 2
    return half + F.softplus(-odds) + torch.log1p(half.exp())


def _cells(shape: tuple[int, int], stride: int) -> Tensor:
    """The cells of a level, row by row: N x 4, x0, y0, x1, y1 in pixels."""
    ys, xs = torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij")
    corner = torch.stack([xs, ys], dim=2).view(-1, 2) * stride
    return torch.cat([corner, corner + stride], dim=1)


def _targets(
    of_label: dict[int, Tensor], size_px: tuple[int, int], device: torch.device
) -> dict[str, Tensor]:
    """The boxes of one image as torchvision takes them, in pixels."""
    boxes = [rows.to(device) for rows in of_label.values()]
    counts = torch.tensor([len(rows) for rows in boxes], dtype=torch.long)
    labels = torch.tensor(list(of_label), dtype=torch.long).repeat_interleave(counts)
    joined = torch.cat([torch.zeros(0, 4, device=device), *boxes])
    return {"boxes": joined * joined.new_tensor(size_px * 2), "labels": labels.to(device)}
