"""Heads: trunk features -> the raw output of one task, as `radiograph.manifest` defines it.

Each names the features that it reads (`inputs`), so that training, export and service wire
it the same way: `head(*(features[name] for name in head.inputs))`.
"""

from collections.abc import Collection
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config.finetune import Detector
from training.model.fcos_head import FcosHead
from training.model.g2d import G2D, ImageFeatures, similarity_map
from training.model.yolo_head import YoloHead


def trunk_outputs(features: ImageFeatures, read: Collection[str] = ()) -> dict[str, Tensor]:
    """Names of the trunk's outputs, in the order in which they are exported.

    Those of `encoder_8`, `encoder_16`, `encoder_32` B x C x S/stride x S/stride that are `read`;
    `decoder_8`, `decoder_4`, `decoder_1` B x c x S/stride x S/stride, where the decoder ran;
    `pixel_embeddings` B x d x S/32 x S/32; `global_embedding` B x d;
    `global_features` B x C, the mean of the encoder's deepest map.
    """
    encoder, decoder = features.pyramid.encoder, features.pyramid.decoder
    maps = {f"encoder_{stride}": level for stride, level in encoder.items()}
    maps = {name: level for name, level in maps.items() if name in read}
    maps |= {f"decoder_{stride}": decoder[stride] for stride in (8, 4, 1) if decoder}
    return maps | {
        "pixel_embeddings": features.pixel_embeddings,
        "global_embedding": features.embedding,
        "global_features": features.pyramid.deep.mean(dim=(2, 3)),
    }


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def _answering(conv: nn.Conv2d, start: float) -> nn.Conv2d:
    """A convolution that answers about `start` before it is trained."""
    if conv.bias is not None:
        nn.init.constant_(conv.bias, start)
    return conv


class ClassifyHead(nn.Module):
    """A linear layer on the mean of the deepest map: `logits` B x K.

    Labels that exclude each other get the logits of their softmax probabilities, so that
    whoever reads the head takes a sigmoid as of any other.
    """

    inputs = ("global_features",)

    def __init__(
        self, channels: int, labels: int, dropout: float = 0.2, *, exclusive: bool = False
    ) -> None:
        """Args: channels: of the deepest map; labels: K; dropout: in training."""
        super().__init__()
        self.exclusive = exclusive
        self.linear = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, labels))

    def forward(self, global_features: Tensor) -> dict[str, Tensor]:
        """B x C -> `logits` B x K."""
        scores: Tensor = self.linear(global_features)
        return {"logits": against_the_rest(scores) if self.exclusive else scores}


def against_the_rest(scores: Tensor) -> Tensor:
    """B x K scores of a softmax -> B x K logits, whose sigmoids are the softmax probabilities.

    log(p / (1 - p)) is a score minus the logarithm of the sum of the others' exponentials.
    """
    count = scores.shape[1]
    own = torch.eye(count, device=scores.device).bool()  # ONNX Runtime has no boolean identity
    others = scores.unsqueeze(1).expand(-1, count, -1).masked_fill(own, float("-inf"))
    return scores - others.logsumexp(dim=2)


class SegmentHead(nn.Module):
    """A convolution on the last decoder map: `logits` B x K x S x S."""

    inputs = ("decoder_1",)

    def __init__(self, channels: int, labels: int) -> None:
        """Args: channels: of the decoder's last map; labels: K."""
        super().__init__()
        self.conv = nn.Conv2d(channels, labels, 3, padding=1)

    def forward(self, decoder_1: Tensor) -> dict[str, Tensor]:
        """B x c x S x S -> `logits` B x K x S x S."""
        return {"logits": self.conv(decoder_1)}


class DetectHead(nn.Module):
    """Anchor-free: each cell scores each label and says how far its box's edges are.

    After CenterNet (Zhou 2019) and FCOS (Tian 2019); distances are in sides of the image.
    """

    inputs = ("decoder_8",)
    form = "grid"

    def __init__(self, channels: int, labels: int, width: int = 64) -> None:
        """Args: channels: of the stride-8 map; labels: K; width: of the hidden layers."""
        super().__init__()
        self.tower = nn.Sequential(_conv(channels, width), _conv(width, width))
        # nearly every cell is empty; boxes are about a third of the side
        self.score = _answering(nn.Conv2d(width, labels, 3, padding=1), -4.0)
        self.edges = _answering(nn.Conv2d(width, 4 * labels, 3, padding=1), -1.5)

    def forward(self, decoder_8: Tensor) -> dict[str, Tensor]:
        """B x c x h x w -> `logits` B x K x h x w, `distances` B x K x 4 x h x w in (0, 1)."""
        hidden = self.tower(decoder_8)
        distances = self.edges(hidden).sigmoid().unflatten(1, (-1, 4))
        return {"logits": self.score(hidden), "distances": distances}


class RegionsHead(nn.Module):
    """Phrase-region alignment: pixel embeddings against phrase embeddings, trained on regions.

    `presence` asks whether the phrase is in the image at all: the mean of the highest
    2 percent of the map, plus the agreement of the whole image with the phrase.
    """

    inputs = ("decoder_4", "global_features", "phrase_features")

    def __init__(self, channels: int, deep: int, text: int, dim: int = 128) -> None:
        """Args: channels: of the stride-4 map; deep: of the deepest; text: D; dim: shared."""
        super().__init__()
        self.pixels = nn.Sequential(_conv(channels, dim), nn.Conv2d(dim, dim, 1))
        self.phrase = nn.Sequential(nn.Linear(text, 256), nn.ReLU(), nn.Linear(256, dim))
        self.image = nn.Linear(deep, dim)
        self.phrase_global = nn.Linear(text, dim)
        self.scale = nn.Parameter(torch.tensor([10.0, 5.0]))
        self.bias = nn.Parameter(torch.tensor([-3.0, 0.0]))
        self.map_weight = nn.Parameter(torch.tensor(0.5))

    def forward(
        self, decoder_4: Tensor, global_features: Tensor, phrase_features: Tensor
    ) -> dict[str, Tensor]:
        """Maps and P x D phrase features -> `logits` B x P x h x w, `presence` B x P."""
        pixels, phrases = self.pixels(decoder_4), self.phrase(phrase_features)
        logits = self.scale[0] * similarity_map(pixels, phrases) + self.bias[0]
        cells = logits.shape[2] * logits.shape[3]
        peak = logits.flatten(2).topk(max(1, cells // 50), dim=2).values.mean(dim=2)
        image = F.normalize(self.image(global_features), dim=1)
        agreement = image @ F.normalize(self.phrase_global(phrase_features), dim=1).T
        presence = self.map_weight * peak + self.scale[1] * agreement + self.bias[1]
        return {"logits": logits, "presence": presence}


class SimilarityHead(nn.Module):
    """The zero-shot map of the paper: cosine of phrase and projected pixel, over sigma.

    Not trained on any region; it holds no weights but those of the projection `proj_t`.
    """

    inputs = ("pixel_embeddings", "global_embedding", "phrase_features")

    def __init__(self, g2d: G2D, temperature: float) -> None:
        """Args: g2d: its text projection is used; temperature: sigma of the pre-training."""
        super().__init__()
        self.proj_t, self.temperature = g2d.proj_t, temperature

    def forward(
        self, pixel_embeddings: Tensor, global_embedding: Tensor, phrase_features: Tensor
    ) -> dict[str, Tensor]:
        """-> `logits` B x P x h x w, `presence` B x P, both cosines over sigma."""
        phrases = self.proj_t(phrase_features.unsqueeze(-1)).squeeze(-1)
        cosine = F.normalize(global_embedding, dim=1) @ F.normalize(phrases, dim=1).T
        logits = similarity_map(pixel_embeddings, phrases) / self.temperature
        return {"logits": logits, "presence": cosine / self.temperature}


@dataclass(frozen=True)
class HeadLabels:
    """What the heads of a fine-tuned model answer; an empty tuple is no such head."""

    findings: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    boxes: tuple[str, ...] = ()
    regions: bool = False
    exclusive: bool = False
    detector: Detector = "centre"


def build_heads(g2d: G2D, labels: HeadLabels, decoder_channels: tuple[int, ...]) -> nn.ModuleDict:
    """The heads by the names that they are published under."""
    deep = g2d.img_model.encoder.out_channels[-1]
    heads = nn.ModuleDict()
    if labels.findings:
        heads["findings"] = ClassifyHead(deep, len(labels.findings), exclusive=labels.exclusive)
    if labels.masks:
        heads["anatomy"] = SegmentHead(decoder_channels[4], len(labels.masks))
    if labels.boxes:
        heads["boxes"] = _detector(g2d, labels, decoder_channels[1])
    if labels.regions:
        heads["regions"] = RegionsHead(decoder_channels[2], deep, g2d.lm_model.width)
    return heads


def _detector(g2d: G2D, labels: HeadLabels, decoder_channels: int) -> nn.Module:
    if labels.detector == "centre":
        return DetectHead(decoder_channels, len(labels.boxes))
    channels = g2d.img_model.encoder.out_channels[-3:]
    head = YoloHead if labels.detector == "yolov3" else FcosHead
    return head(channels, len(labels.boxes))
