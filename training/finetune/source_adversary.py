"""Adversary that tells data sets apart by the features of an image, which the trunk then hides.

features --> reversed gradient --> classifier of the data set --> cross-entropy
                 the trunk <-- learns the opposite of it -- the classifier learns it

Source: Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 2016.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 128
"""Channels of the hidden layer."""


class _Reversal(torch.autograd.Function):
    """The identity, whose gradient is negated and scaled."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * gradients[0], None


class SourceAdversary(nn.Module):
    """A classifier of the data set that an image is from, on the mean of the deepest map.

    It learns at the rate of the other heads, whatever the weight; the weight scales what the trunk
    learns from it.
    """

    def __init__(self, channels: int, sources: int, weight: float) -> None:
        """Build the classifier.

        Args:
            channels: channels of `global_features`, C.
            sources: number of data sets, T.
            weight: factor of the reversed gradient.
        """
        super().__init__()
        self.weight = weight
        self.classifier = nn.Sequential(
            nn.Linear(channels, WIDTH), nn.ReLU(), nn.Linear(WIDTH, sources)
        )

    def forward(self, global_features: Tensor, sources: Tensor) -> Tensor:
        """Return the cross-entropy of a batch; each data set in it weighs the same.

        Args:
            global_features: B x C.
            sources: B int64, the number of the data set of each image.
        """
        reversed_features = cast("Tensor", _Reversal.apply(global_features, self.weight))
        logits = self.classifier(reversed_features).float()  # B x T
        each = F.cross_entropy(logits, sources, reduction="none")
        rows = (sources.unsqueeze(0) == sources.unsqueeze(1)).sum(dim=0)  # of the same data set
        return (each / rows).sum() / (1 / rows).sum()
