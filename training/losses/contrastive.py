"""InfoNCE between image and report embeddings (G2D section 3.1, equation 1).

The paper prints the image-to-report direction; the released code sums both, as CLIP does.
`symmetric` chooses; both directions are summed by default.
"""

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as differentiable
import torch.nn.functional as F
from torch import Tensor


def contrastive_loss(
    image: Tensor,
    text: Tensor,
    *,
    temperature: float = 0.07,
    symmetric: bool = True,
    text_ids: Tensor | None = None,
    gather: bool = False,
) -> Tensor:
    """Cross-entropy of each embedding against all of the other side.

    Args:
        image: K x d image embeddings; any length, normalised here.
        text: K x d report embeddings, row i belonging to image i.
        temperature: sigma of the paper.
        symmetric: also contrast each report against all images, and sum.
        text_ids: K int64, equal where two rows say the same thing, so that neither is a
            negative of the other. Made for sentences generated from class labels, of which
            a batch holds many copies. None is the paper's loss.
        gather: contrast with the rows of every process, all of the same K. The mean of the
            processes' losses, and of their gradients (as DDP takes it), is then that of one
            process with the joined batch. Nothing changes on one process.

    Returns:
        A scalar, float32 whatever the precision of the embeddings (float64 stays).
    """
    with torch.autocast(image.device.type, enabled=False):
        image, text = _unit(image), _unit(text)
        several = gather and dist.is_available() and dist.is_initialized()
        target = _targets(image, text_ids, several=several)
        loss = F.cross_entropy(image @ _joined(text, several).T / temperature, target)
        if symmetric:
            loss = loss + F.cross_entropy(text @ _joined(image, several).T / temperature, target)
        return loss


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=1)


def _joined(x: Tensor, several: bool) -> Tensor:
    """The rows of all processes in the order of their ranks, with gradients."""
    return torch.cat(differentiable.all_gather(x)) if several else x


def _targets(image: Tensor, text_ids: Tensor | None, *, several: bool) -> Tensor:
    """What each local row should choose: a column, K; or shares of them, K x columns."""
    if text_ids is None:
        first = dist.get_rank() * len(image) if several else 0
        return torch.arange(first, first + len(image), device=image.device)
    everyones = text_ids
    if several:
        parts = [torch.empty_like(text_ids) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, text_ids)
        everyones = torch.cat(parts)
    same = (text_ids[:, None] == everyones[None, :]).to(image.dtype)
    return same / same.sum(dim=1, keepdim=True)
