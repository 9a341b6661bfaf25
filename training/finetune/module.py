"""The module that a fine-tuning trains: G2D with its heads, and their losses in one forward pass.

images -> trunk, or the kept maps of a frozen encoder -> features -> each head -> its losses
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from training.config.finetune import FinetuneConfig
from training.config.model import ModelConfig
from training.finetune.frozen_features import EncodedImages
from training.finetune.source_adversary import SourceAdversary
from training.heads.head import PHRASES, Head, HeadsBatch, RunHead, TrainableHead
from training.heads.registry import build_heads
from training.losses.contrastive import contrastive_loss
from training.model.g2d import G2D, trunk_outputs
from training.model.image_encoder import normalise
from training.model.text_encoder import Tokens

ALIGNMENT_WEIGHT = 0.1
"""Weight of the image-report loss relative to the losses of the heads."""
_MODEL_PREFIXES = ("g2d.", "heads.")
"""Prefixes of the weights that belong to the model, not to its training."""


@dataclass(frozen=True)
class ReportBatch:
    """The reports of a batch.

    Attributes:
        rows: R int64, positions in the batch of the images that have a report.
        tokens: tokens of their R reports.
        ids: R int64, equal for reports that say the same.
    """

    rows: Tensor
    tokens: Tokens
    ids: Tensor


@dataclass(frozen=True)
class FinetuneBatch:
    """One micro-batch of one process.

    Attributes:
        labelled: images and targets of the heads.
        reports: reports of the image-report loss; none if the run does not have this loss.
        sources: B int64, the number of the data set of each image, in the order of the cache.
        encoded: output of a frozen encoder for the images, if it was kept.
    """

    labelled: HeadsBatch
    reports: ReportBatch
    sources: Tensor
    encoded: EncodedImages | None = None

    def images(self) -> Tensor:
        """Return the augmented images, B x 1 x S x S in [0, 1]."""
        return self.labelled.radiographs.images()


class Finetuning(nn.Module):
    """G2D with its heads."""

    def __init__(
        self,
        config: FinetuneConfig,
        model: ModelConfig,
        temperature: float,
        *,
        learns: bool = False,
    ) -> None:
        """Build trunk and heads; `training.finetune.initial_weights` fills them.

        Args:
            config: configuration of the run.
            model: architecture of the trunk.
            temperature: sigma of the contrastive loss.
            learns: build also what only the training needs.
        """
        super().__init__()
        self.config, self.model, self.temperature = config, model, temperature
        self.g2d = G2D(model, config.preprocess.size_px)
        self.heads = build_heads(config, self.g2d)
        self.adversary: SourceAdversary | None = None
        if learns and config.source_adversary is not None:
            channels, sources = self.g2d.channels("global_features"), len(config.data.tables)
            self.adversary = SourceAdversary(channels, sources, config.source_adversary)
        if config.freezes_encoder:
            self.g2d.requires_grad_(requires_grad=False)
        if config.freeze_encoder:
            self.g2d.img_model.decoder.requires_grad_(requires_grad=True)

    def train(self, mode: bool = True) -> "Finetuning":
        """Set the training mode; frozen modules stay in evaluation mode."""
        super().train(mode)
        if self.config.freezes_encoder:
            self.g2d.eval()
        if self.config.freeze_encoder:
            self.g2d.img_model.decoder.train(mode)
        return self

    @property
    def run_heads(self) -> Mapping[str, RunHead]:
        """All heads by name, in a fixed order."""
        return cast("Mapping[str, RunHead]", dict(self.heads.items()))

    @property
    def trained_heads(self) -> Mapping[str, TrainableHead]:
        """The heads that are trained together, by name, in the order in which they are trained."""
        heads = self.run_heads.items()
        return {name: head for name, head in heads if isinstance(head, TrainableHead)}

    @property
    def reads(self) -> set[str]:
        """Names of the features that the heads read."""
        return features_read(self.run_heads)

    @property
    def decodes(self) -> bool:
        """True if a head reads maps of the decoder."""
        return any(name.startswith("decoder_") for name in self.reads)

    @property
    def reads_maps(self) -> bool:
        """True if a head reads maps of the encoder or the decoder, and not only their mean."""
        return self.decodes or any(name.startswith("encoder_") for name in self.reads)

    def features(self, images: Tensor, encoded: EncodedImages | None = None) -> dict[str, Tensor]:
        """Return the outputs of the trunk by name; the decoder runs only if a head reads it.

        Args:
            images: B x 1 x S x S intensities in [0, 1].
            encoded: output of the frozen encoder for these images, if it was kept.
        """
        if encoded is None:
            image = normalise(images, self.config.preprocess)
            return trunk_outputs(self.g2d.image(image, decode=self.decodes), self.reads)
        if encoded.maps:
            maps = [level.contiguous(memory_format=torch.channels_last) for level in encoded.maps]
            return trunk_outputs(self.g2d.image_of_maps(maps, decode=self.decodes), self.reads)
        return {"global_features": encoded.deep}

    def outputs(self, features: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """Return the raw outputs of every head that reads no phrases."""
        heads = self.run_heads.items()
        return {name: head.outputs(features) for name, head in heads if PHRASES not in head.inputs}

    def forward(self, images: Tensor, batch: FinetuneBatch) -> dict[str, Tensor]:
        """Return the losses of one batch by name, and their sum as `total`.

        Args:
            images: images of the batch, B x 1 x S x S in [0, 1].
            batch: their targets.
        """
        features = self.features(images, batch.encoded)
        losses: dict[str, Tensor] = {}
        for head in self.trained_heads.values():
            # The text encoder runs only once it is read: it draws from the generator of dropout.
            if PHRASES in head.inputs and PHRASES not in features:
                phrases = batch.labelled.phrases
                features[PHRASES] = self.g2d.lm_model(phrases.input_ids, phrases.attention_mask)
            losses |= head.losses(features, batch.labelled)
        if self.adversary is not None:
            losses["source"] = self.adversary(features["global_features"], batch.sources)
        if self.config.aligns:
            losses["vla"] = self._alignment_loss(features["global_embedding"], batch.reports)
        return losses | {"total": sum(losses.values(), torch.zeros(()))}

    def _alignment_loss(self, embeddings: Tensor, reports: ReportBatch) -> Tensor:
        """Return the image-report loss of the rows that have a report; 0 for fewer than two."""
        if len(reports.rows) < 2:
            return torch.zeros((), device=embeddings.device)
        return ALIGNMENT_WEIGHT * contrastive_loss(
            embeddings[reports.rows],
            self.g2d.text(reports.tokens.input_ids, reports.tokens.attention_mask),
            temperature=self.temperature,
            text_ids=reports.ids,
        )


def features_read(heads: Mapping[str, Head]) -> set[str]:
    """Return the names of the features that some heads read."""
    return {name for head in heads.values() for name in head.inputs}


def model_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return those weights of a checkpoint that belong to the model, not to its training."""
    return {name: value for name, value in weights.items() if name.startswith(_MODEL_PREFIXES)}
