"""Grounding heads: the location of a phrase in the image, trained on regions or zero-shot."""

from collections.abc import Mapping
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radiograph.manifest import Task
from training.config.finetune import FinetuneConfig
from training.data.batches.region_targets import RegionTargets
from training.heads.head import PHRASES, Head, HeadsBatch, TrainableHead
from training.heads.layers import conv_block
from training.model.g2d import G2D, similarity_map


class RegionsHead(TrainableHead):
    """Alignment of pixel embeddings with phrase embeddings, trained on regions.

    `presence` is a logit for the phrase being in the image at all: the mean of the highest two
    percent of the map, plus the agreement of the whole image with the phrase.
    """

    name = "regions"
    kind = Task.GROUND
    method = "aligned"
    inputs = ("decoder_4", "global_features", PHRASES)

    def __init__(self, channels: int, deep: int, text: int, dim: int = 128) -> None:
        """Build the projections.

        Args:
            channels: channels of the decoder's map of stride 4.
            deep: channels of the encoder's deepest map.
            text: width of the phrase features, D.
            dim: width of the shared space.
        """
        super().__init__()
        self.pixels = nn.Sequential(conv_block(channels, dim), nn.Conv2d(dim, dim, 1))
        self.phrase = nn.Sequential(nn.Linear(text, 256), nn.ReLU(), nn.Linear(256, dim))
        self.image = nn.Linear(deep, dim)
        self.phrase_global = nn.Linear(text, dim)
        self.scale = nn.Parameter(torch.tensor([10.0, 5.0]))  # of the map, of the agreement
        self.bias = nn.Parameter(torch.tensor([-3.0, 0.0]))  # of the map, of the presence
        self.map_weight = nn.Parameter(torch.tensor(0.5))

    @classmethod
    def requested(cls, config: FinetuneConfig) -> bool:
        """Return whether the run aligns regions with phrases."""
        return config.regions

    @classmethod
    def build(cls, config: FinetuneConfig, g2d: G2D) -> Self:  # noqa: ARG003 - it has no labels
        """Build the head on the decoder's map of stride 4."""
        return cls(*(g2d.channels(name) for name in cls.inputs))

    def forward(
        self, decoder_4: Tensor, global_features: Tensor, phrase_features: Tensor
    ) -> dict[str, Tensor]:
        """Return the map and the presence of every phrase in every image.

        Args:
            decoder_4: B x c x h x w.
            global_features: B x C.
            phrase_features: P x D.

        Returns:
            `logits` B x P x h x w and `presence` B x P.
        """
        pixels, phrases = self.pixels(decoder_4), self.phrase(phrase_features)
        logits = self.scale[0] * similarity_map(pixels, phrases) + self.bias[0]
        cells = logits.shape[2] * logits.shape[3]
        # A mean of the highest cells, because a maximum would follow a single outlier.
        peak = logits.flatten(2).topk(max(1, cells // 50), dim=2).values.mean(dim=2)  # B x P
        image = F.normalize(self.image(global_features), dim=1)
        agreement = image @ F.normalize(self.phrase_global(phrase_features), dim=1).T  # B x P
        presence = self.map_weight * peak + self.scale[1] * agreement + self.bias[1]
        return {"logits": logits, "presence": presence}

    def losses(self, features: Mapping[str, Tensor], batch: HeadsBatch) -> dict[str, Tensor]:
        """Return the losses `regions` and `presence`."""
        return regions_loss(self.outputs(features), batch.regions)


class SimilarityHead(Head):
    """The zero-shot map of the paper: cosine of phrase and projected pixel, over sigma.

    It is never trained on regions. Its only weights are those of the text projection `proj_t`.
    """

    name = "similarity"
    kind = Task.GROUND
    method = "zero_shot"
    inputs = ("pixel_embeddings", "global_embedding", PHRASES)

    def __init__(self, g2d: G2D, temperature: float) -> None:
        """Share the text projection of a model.

        Args:
            g2d: pre-trained model.
            temperature: sigma of its contrastive loss.
        """
        super().__init__()
        self.proj_t, self.temperature = g2d.proj_t, temperature

    def forward(
        self, pixel_embeddings: Tensor, global_embedding: Tensor, phrase_features: Tensor
    ) -> dict[str, Tensor]:
        """Return the cosines over sigma.

        Args:
            pixel_embeddings: B x d x h x w.
            global_embedding: B x d.
            phrase_features: P x D.

        Returns:
            `logits` B x P x h x w and `presence` B x P.
        """
        phrases = self.proj_t(phrase_features.unsqueeze(-1)).squeeze(-1)  # P x D -> P x d
        cosine = F.normalize(global_embedding, dim=1) @ F.normalize(phrases, dim=1).T
        logits = similarity_map(pixel_embeddings, phrases) / self.temperature
        return {"logits": logits, "presence": cosine / self.temperature}


def regions_loss(answer: Mapping[str, Tensor], targets: RegionTargets) -> dict[str, Tensor]:
    """Return the losses of the maps and of the presence of the phrases.

    Args:
        answer: raw outputs of `RegionsHead`.
        targets: location and presence of each phrase, as far as they are known.

    Returns:
        `regions`: cross-entropy of the known maps plus Dice of those that show something, each
        averaged over anatomy and over all other phrases on their own, because maps of findings
        are few beside those of lungs; `presence`: weighted cross-entropy.
    """
    logits = answer["logits"].float()
    known = targets.weight.flatten(2).amax(dim=2)  # B x P, 1 where some cell is known
    each = F.binary_cross_entropy_with_logits(logits, targets.maps, reduction="none")
    pixel = (each * targets.weight).sum(dim=(2, 3)) / targets.weight.sum(dim=(2, 3)).clamp_min(1)
    probability = logits.sigmoid() * targets.weight
    target = targets.maps * targets.weight
    overlap = (probability * target).sum(dim=(2, 3))
    dice = 1 - (2 * overlap + 1) / (probability.sum((2, 3)) + target.sum((2, 3)) + 1)
    # Dice of an empty map says little, so only the maps that show something count.
    shown = known * (targets.maps.flatten(2).amax(dim=2) > 0)
    presence = F.binary_cross_entropy_with_logits(
        answer["presence"].float(), targets.presence, reduction="none"
    )
    weight = targets.presence_weight
    return {
        "regions": _mean_by_kind(pixel, known, targets.anatomical)
        + _mean_by_kind(dice, shown, targets.anatomical),
        "presence": (presence * weight).sum() / weight.sum().clamp_min(1),
    }


def _mean_by_kind(values: Tensor, counted: Tensor, anatomical: Tensor) -> Tensor:
    """Return the mean over the counted maps of anatomy, plus that over the others.

    Args:
        values: B x P.
        counted: B x P in {0, 1}.
        anatomical: P in {0, 1}.
    """
    means = [
        (values * counted * kind).sum() / (counted * kind).sum().clamp_min(1)
        for kind in (anatomical, 1 - anatomical)
    ]
    return torch.stack(means).sum()
