"""InfoNCE between image and report embeddings (G2D section 3.1, equation 1).

The paper prints the image-to-report direction; the released code sums both, as CLIP does.
`symmetric` chooses; both directions are summed by default.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def contrastive_loss(
    image: Tensor,
    text: Tensor,
    *,
    temperature: float = 0.07,
    symmetric: bool = True,
    same: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of each embedding against all of the other side.

    Args:
        image: K x d image embeddings; any length, normalised here.
        text: K x d report embeddings, row i belonging to image i.
        temperature: sigma of the paper.
        symmetric: also contrast each report against all images, and sum.
        same: K x K bool, true where two rows say the same thing, so that neither is a
            negative of the other. Made for sentences generated from class labels, of which
            a batch holds many copies. None is the paper's loss.

    Returns:
        A scalar.
    """
    logits = F.normalize(image, dim=1) @ F.normalize(text, dim=1).T / temperature
    target = torch.eye(len(logits), device=logits.device, dtype=logits.dtype)
    if same is not None:
        target = torch.maximum(target, same.to(logits.dtype))
        target = target / target.sum(dim=1, keepdim=True)
    loss = F.cross_entropy(logits, target)
    if symmetric:
        loss = loss + F.cross_entropy(logits.T, target.T / target.T.sum(dim=1, keepdim=True))
    return loss
