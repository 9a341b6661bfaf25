"""Checks head: what a picture looks like, from where things are in the maps of the encoder."""

from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radiograph.manifest import CHECK
from radiograph.terminology.checks import CHECKS
from training.config.finetune import FinetuneConfig
from training.heads.head import RunHead
from training.model.g2d import G2D

GRID = 7
"""Cells along each side of the grid that the maps are resized to: those of stride 32 at 224 px."""


class ChecksHead(RunHead):
    """A small network on two maps of the encoder that keeps where things are.

    A mean over the whole image could not tell left from right.
    """

    name = "checks"
    kind = CHECK
    inputs = ("encoder_16", "encoder_32")
    settings: ClassVar[frozenset[str]] = frozenset({"checks"})

    def __init__(self, middle: int, deep: int, width: int = 48, hidden: int = 128) -> None:
        """Build the layers.

        Args:
            middle: channels of the encoder's map of stride 16.
            deep: channels of the deepest map.
            width: channels of each cell.
            hidden: width of the layer that sees all cells.
        """
        super().__init__()
        self.norm = nn.BatchNorm2d(middle + deep)  # the channels of the maps differ in scale
        self.cells = nn.Sequential(nn.Conv2d(middle + deep, width, 1), nn.ReLU())
        self.whole = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(width * GRID * GRID, hidden),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(hidden, len(CHECKS)),
        )

    @classmethod
    def requested(cls, config: FinetuneConfig) -> bool:
        """Return whether the run trains the checks."""
        return config.checks is not None

    @classmethod
    def labels(cls, config: FinetuneConfig) -> tuple[str, ...]:
        """Return the names of the checks."""
        return tuple(check.value for check in CHECKS) if cls.requested(config) else ()

    @classmethod
    def build(cls, config: FinetuneConfig, g2d: G2D) -> Self:  # noqa: ARG003 - the checks are fixed
        """Build the head on two maps of the encoder."""
        return cls(*(g2d.channels(name) for name in cls.inputs))

    def forward(self, encoder_16: Tensor, encoder_32: Tensor) -> dict[str, Tensor]:
        """Return `logits`, B x checks.

        Args:
            encoder_16, encoder_32: maps of the encoder, B x c x S/stride x S/stride.
        """
        maps = torch.cat([to_grid(encoder_16), to_grid(encoder_32)], dim=1)  # B x c x 7 x 7
        return {"logits": self.whole(self.cells(self.norm(maps)))}


def to_grid(maps: Tensor) -> Tensor:
    """Return maps on the common grid, B x c x `GRID` x `GRID`."""
    return F.interpolate(maps, (GRID, GRID), mode="bilinear", align_corners=False)
