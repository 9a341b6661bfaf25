"""Bright rectangles on noise, and the maps of an untrained ResNet-18 for them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from radiograph.geometry.geometry import Geometry
from radiograph.manifest import HeadSpec, Label
from radiograph.postprocess.heads import detect
from training.config.augmentation import NoAugmentConfig
from training.config.model import EncoderConfig
from training.data.batches.collate import Batch
from training.data.batches.region_targets import RegionTargets
from training.heads.head import HeadsBatch, TrainableHead
from training.metrics import BoxesOfImage, average_precision
from training.model.image_encoder import build_unet, encode
from training.model.text_encoder import NO_TOKENS

SIZE_PX = 64
CHANNELS = (128, 256, 512)
"""Channels of a ResNet-18 at strides 8, 16, 32."""
NO_REGIONS = RegionTargets(*(torch.zeros(0) for _ in range(5)))
"""Targets of a batch without phrases."""


@dataclass(frozen=True)
class Drawn:
    """Images with one box each, and their maps.

    Attributes:
        images: N x 1 x 64 x 64 in [0, 1].
        boxes: N x 4 in sides.
        features: `encoder_8`, `encoder_16`, `encoder_32` of all images.
    """

    images: Tensor
    boxes: Tensor
    features: dict[str, Tensor]

    def batch(self, head: TrainableHead, rows: list[int]) -> tuple[dict[str, Tensor], HeadsBatch]:
        """Return the maps and the targets of a head for some of the images, with one label."""
        count, nothing = len(rows), torch.zeros(len(rows), 0)
        radiographs = Batch(
            pixels=(self.images[rows] * 255).to(torch.uint8),
            augmentation=NoAugmentConfig(kind="none"),
            seed=0,
            findings=nothing,
            findings_known=nothing.bool(),
            mask_labels=(),
            masks_known=nothing.bool(),
            boxes=[{0: self.boxes[row : row + 1]} for row in rows],
            boxes_known=torch.ones(count, 1, dtype=torch.bool),
            bits=torch.zeros(count, 1, SIZE_PX, SIZE_PX, dtype=torch.uint8),
            structures=(),
            drawn=[{}] * count,
        )
        maps = {name: level[rows] for name, level in self.features.items()}
        targets = {head.name: head.targets(radiographs)}
        return maps, HeadsBatch(radiographs, NO_TOKENS, NO_REGIONS, targets)


def draw(count: int, seed: int) -> Drawn:
    """Return images that have one rectangle of 20 to 40 pixels a side each."""
    random = np.random.default_rng(seed)
    images = random.uniform(0, 0.25, (count, 1, SIZE_PX, SIZE_PX)).astype(np.float32)
    boxes = np.zeros((count, 4), np.float32)
    for image, box in zip(images, boxes, strict=True):
        width, height = random.integers(20, 41, 2)
        x, y = random.integers(0, (SIZE_PX - width + 1, SIZE_PX - height + 1))
        image[0, y : y + height, x : x + width] += 0.6
        box[:] = x, y, x + width, y + height
    torch.manual_seed(0)
    unet = build_unet(EncoderConfig(name="resnet18", weights=None)).eval()
    with torch.no_grad():
        levels = encode(unet, (torch.from_numpy(images) - 0.5) / 0.5)[-3:]
    names = ("encoder_8", "encoder_16", "encoder_32")
    return Drawn(
        torch.from_numpy(images),
        torch.from_numpy(boxes) / SIZE_PX,
        dict(zip(names, levels, strict=True)),
    )


def train(head: TrainableHead, drawn: Drawn, steps: int, lr: float = 2e-3) -> None:
    """Train in batches of 16, in order; the head is in evaluation mode afterwards."""
    optimiser = torch.optim.AdamW(head.parameters(), lr=lr)
    head.train()
    for step in range(steps):
        rows = [(16 * step + n) % len(drawn.images) for n in range(16)]
        losses = head.losses(*drawn.batch(head, rows))
        optimiser.zero_grad()
        sum(losses.values(), torch.zeros(())).backward()
        for group in optimiser.param_groups:
            group["lr"] = lr * (1 - step / steps)
        optimiser.step()
    head.eval()


@torch.no_grad()
def precision(head: TrainableHead, drawn: Drawn) -> float:
    """Return the average precision at IoU 0.5, through `radiograph.postprocess.heads`."""
    rows = list(range(len(drawn.images)))
    features, _ = drawn.batch(head, rows)
    answer = {name: value.numpy() for name, value in head(*features.values()).items()}
    spec = HeadSpec.model_validate(
        {"kind": "detect", "file": "x", "inputs": (), "form": "candidates"}
        | {"labels": (Label(name="bright", threshold=0.05),)}
    )
    grid, found = Geometry.fit(SIZE_PX, SIZE_PX, SIZE_PX), []
    for row in rows:
        boxes = detect(spec, {name: value[row] for name, value in answer.items()}, grid)
        x0, y0, x1, y1 = (drawn.boxes[row] * SIZE_PX).tolist()
        found.append(
            BoxesOfImage(
                tuple(b.score for b in boxes), tuple(b.box for b in boxes), ((x0, y0, x1, y1),)
            )
        )
    return average_precision(found, 0.5)
