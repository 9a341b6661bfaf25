"""Centre detector: each cell of a decoder map scores each label and predicts the edges of a box."""

from collections.abc import Sequence
from typing import Self

from torch import Tensor, nn

from training.config.finetune import FinetuneConfig
from training.data.batches.collate import Batch
from training.heads.detectors.detector import DetectorHead
from training.heads.layers import conv_block, with_bias
from training.losses.centre_detection import BoxTargets, detection_loss, make_targets
from training.model.g2d import G2D


class CentreHead(DetectorHead):
    """An anchor-free detector on the decoder, after CenterNet (Zhou 2019) and FCOS (Tian 2019).

    Distances to the edges are in sides of the image.
    """

    detector = "centre"
    inputs = ("decoder_8",)

    def __init__(self, channels: int, labels: int, width: int = 64) -> None:
        """Build the layers.

        Args:
            channels: channels of the decoder's map of stride 8.
            labels: number of labels, K.
            width: channels of the hidden layers.
        """
        super().__init__()
        self.tower = nn.Sequential(conv_block(channels, width), conv_block(width, width))
        # Before training, nearly every cell is empty and a box is about a third of the side.
        self.score = with_bias(nn.Conv2d(width, labels, 3, padding=1), -4.0)
        self.edges = with_bias(nn.Conv2d(width, 4 * labels, 3, padding=1), -1.5)

    @classmethod
    def build(cls, config: FinetuneConfig, g2d: G2D) -> Self:
        """Build the detector on the decoder's map of stride 8."""
        return cls(g2d.channels("decoder_8"), len(config.boxes))

    def forward(self, decoder_8: Tensor) -> dict[str, Tensor]:
        """Return the scores and edges of all cells.

        Args:
            decoder_8: B x c x h x w.

        Returns:
            `logits` B x K x h x w; `distances` B x K x 4 x h x w in (0, 1), from the centre of
            the cell to the left, top, right and bottom edge.
        """
        hidden = self.tower(decoder_8)
        distances = self.edges(hidden).sigmoid().unflatten(1, (-1, 4))  # B x 4K -> B x K x 4
        return {"logits": self.score(hidden), "distances": distances}

    def targets(self, truth: Batch) -> BoxTargets:
        """Return the targets on the grid of stride 8."""
        height, width = (side // 8 for side in truth.bits.shape[-2:])
        return make_targets(truth.boxes, truth.boxes_known, height, width)

    def box_losses(
        self,
        inputs: Sequence[Tensor],
        targets: BoxTargets,
        known: Tensor,  # noqa: ARG002 - part of the targets
    ) -> dict[str, Tensor]:
        """Return the losses `centres` and `edges`."""
        answer = self(*inputs)
        return detection_loss(answer["logits"], answer["distances"], targets)
