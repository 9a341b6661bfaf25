"""Classification head: findings of the whole image, from the mean of the deepest feature map."""

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radiograph.manifest import HeadSpec, Task
from training.config.finetune import FinetuneConfig
from training.heads.head import HeadsBatch, TrainableHead
from training.model.g2d import G2D


class ClassifyHead(TrainableHead):
    """A linear layer on the mean of the deepest map: `logits` B x K.

    Mutually exclusive labels get the logits of their softmax probabilities. A reader of the head
    therefore always applies a sigmoid.
    """

    name = "findings"
    kind = Task.CLASSIFY
    inputs = ("global_features",)
    settings: ClassVar[frozenset[str]] = frozenset({"findings", "exclusive", "subtype_of"})

    def __init__(
        self, channels: int, labels: int, dropout: float = 0.2, *, exclusive: bool = False
    ) -> None:
        """Build the layer.

        Args:
            channels: channels of the deepest map.
            labels: number of labels, K.
            dropout: share of the features that is dropped in training.
            exclusive: True if exactly one label is true of each image.
        """
        super().__init__()
        self.exclusive = exclusive
        self.linear = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, labels))

    @classmethod
    def labels(cls, config: FinetuneConfig) -> tuple[str, ...]:
        """Return the findings of the run."""
        return config.findings

    @classmethod
    def build(cls, config: FinetuneConfig, g2d: G2D) -> Self:
        """Build the head on the deepest map of the encoder."""
        return cls(
            g2d.channels("global_features"), len(config.findings), exclusive=config.exclusive
        )

    def spec(self, config: FinetuneConfig) -> HeadSpec:
        """Return the manifest entry of the head; its labels name what they are subtypes of."""
        spec = super().spec(config)
        labels = tuple(
            label.model_copy(update={"subtype_of": config.subtype_of.get(label.name)})
            for label in spec.labels
        )
        return spec.model_copy(update={"labels": labels})

    def forward(self, global_features: Tensor) -> dict[str, Tensor]:
        """Return `logits`, B x K, for features B x C."""
        scores: Tensor = self.linear(global_features)
        return {"logits": one_against_rest(scores) if self.exclusive else scores}

    def losses(self, features: Mapping[str, Tensor], batch: HeadsBatch) -> dict[str, Tensor]:
        """Return the cross-entropy of the known labels as `findings`."""
        logits, truth = self.outputs(features)["logits"], batch.radiographs
        loss = exclusive_loss if self.exclusive else multilabel_loss
        return {self.name: loss(logits, truth.findings, truth.findings_known)}


def one_against_rest(scores: Tensor) -> Tensor:
    """Return logits whose sigmoids are the softmax probabilities of the scores.

    log(p / (1 - p)) is a score minus the logarithm of the sum of the others' exponentials.

    Args:
        scores: B x K, before the softmax.

    Returns:
        B x K logits.
    """
    count = scores.shape[1]
    own = torch.eye(count, device=scores.device).bool()  # ONNX Runtime has no boolean identity
    others = scores.unsqueeze(1).expand(-1, count, -1)  # B x K x K, the scores once for each label
    others = others.masked_fill(own, float("-inf"))
    return scores - others.logsumexp(dim=2)


def multilabel_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of the labels that are known.

    Args:
        logits: B x K.
        target: B x K in {0, 1}.
        known: B x K bool.

    Returns:
        A scalar; 0 if nothing is known.
    """
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    weight = known.float()
    return (loss * weight).sum() / weight.sum().clamp_min(1)


def exclusive_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Return the mean softmax cross-entropy of the images whose labels are all known.

    Args:
        logits: B x K from `one_against_rest`, so that their log-sigmoid is the log-softmax.
        target: B x K in {0, 1}, with exactly one 1 in each row.
        known: B x K bool.

    Returns:
        A scalar; 0 if no image counts.
    """
    true = target.argmax(dim=1, keepdim=True)  # B x 1
    weight = known.all(dim=1).float()
    each = -F.logsigmoid(logits).gather(1, true).squeeze(1)
    return (each * weight).sum() / weight.sum().clamp_min(1)
