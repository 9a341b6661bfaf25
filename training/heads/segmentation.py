"""Segmentation head: masks of structures and findings, from the last map of the decoder."""

from collections.abc import Mapping
from typing import ClassVar, Self

from torch import Tensor, nn

from radiograph.manifest import HeadSpec, Task
from training.config.finetune import FinetuneConfig, MaskLoss
from training.heads.head import HeadsBatch, TrainableHead
from training.losses.segmentation import known_mask_loss, mgca_mask_loss
from training.model.g2d import G2D


class SegmentHead(TrainableHead):
    """A 3 x 3 convolution on the last decoder map: `logits` B x K x S x S."""

    name = "anatomy"
    kind = Task.SEGMENT
    inputs = ("decoder_1",)
    settings: ClassVar[frozenset[str]] = frozenset({"masks", "clean"})

    def __init__(
        self, channels: int, labels: int, loss_weight: float = 1.0, loss: MaskLoss = "dice_bce"
    ) -> None:
        """Build the convolution.

        Args:
            channels: channels of the decoder's map of stride 1.
            labels: number of labels, K.
            loss_weight: factor of the loss.
            loss: loss of the masks.
        """
        super().__init__()
        self.loss_weight = loss_weight
        self.loss = mgca_mask_loss if loss == "mgca" else known_mask_loss
        self.conv = nn.Conv2d(channels, labels, 3, padding=1)

    @classmethod
    def labels(cls, config: FinetuneConfig) -> tuple[str, ...]:
        """Return the structures and findings that the run segments."""
        return config.masks

    def spec(self, config: FinetuneConfig) -> HeadSpec:
        """Return the manifest entry of the head, with the cleaning of its masks."""
        spec = super().spec(config)
        labels = tuple(
            label.model_copy(update={"clean": config.clean.get(label.name)})
            for label in spec.labels
        )
        return spec.model_copy(update={"labels": labels})

    @classmethod
    def build(cls, config: FinetuneConfig, g2d: G2D) -> Self:
        """Build the head on the decoder's map of full resolution."""
        channels, labels = g2d.channels("decoder_1"), len(config.masks)
        return cls(channels, labels, config.anatomy_weight, config.mask_loss)

    def forward(self, decoder_1: Tensor) -> dict[str, Tensor]:
        """Return `logits`, B x K x S x S, for a map B x c x S x S."""
        return {"logits": self.conv(decoder_1)}

    def losses(self, features: Mapping[str, Tensor], batch: HeadsBatch) -> dict[str, Tensor]:
        """Return the loss of the annotated masks as `anatomy`."""
        logits, truth = self.outputs(features)["logits"], batch.radiographs
        loss = self.loss(logits, truth.masks, truth.masks_known, truth.counted)
        return {self.name: self.loss_weight * loss}
