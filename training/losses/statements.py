"""Contrast between images and short statements, each of which may be true of several images.

Every true pair is contrasted with the false pairs of its image and of its statement alone: neither
other true pairs nor pairs of which nothing is known are negatives.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_NONE = -1e4
"""Logit in place of pairs that do not take part, far below every cosine over the temperature."""


def statement_loss(
    image: Tensor, text: Tensor, truth: Tensor, *, temperature: float = 0.07
) -> Tensor:
    """Return the sum of both directions, from images to statements and back.

    Args:
        image: K x d image embeddings of any length; they are normalised here.
        text: U x d embeddings of the statements, likewise.
        truth: K x U, 1 where a statement is true of an image, -1 where it is false, 0 where that
            is not known.
        temperature: divisor of the cosines.

    Returns:
        A scalar in float32 or better; 0 if no row has both a true and a false pair.
    """
    with torch.autocast(image.device.type, enabled=False):
        unit = [
            F.normalize(x.to(torch.promote_types(x.dtype, torch.float32))) for x in (image, text)
        ]
        logits = unit[0] @ unit[1].T / temperature
        return _one_direction(logits, truth) + _one_direction(logits.T, truth.T)


def _one_direction(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the mean over rows of the mean over their true pairs."""
    false = truth < 0
    negatives = logits.masked_fill(~false, _NONE).logsumexp(dim=1, keepdim=True)
    each = F.softplus(negatives - logits)  # -log(e^true / (e^true + sum of e^false))
    counted = (truth > 0) & false.any(dim=1, keepdim=True)
    rows = (each * counted).sum(dim=1) / counted.sum(dim=1).clamp_min(1)
    return rows.sum() / counted.any(dim=1).sum().clamp_min(1)
