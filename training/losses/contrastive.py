"""InfoNCE between image and report embeddings (G2D section 3.1, equation 1).

The paper prints the image-to-report direction; the released code sums both, as CLIP does.
`symmetric` chooses; both directions are summed by default.
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.distributed import _functional_collectives as collectives


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
        group = dist.group.WORLD if gather and dist.is_available() else None  # None: one process
        target = _targets(image, text_ids, group)
        loss = F.cross_entropy(image @ _joined(text, group).T / temperature, target)
        if symmetric:
            loss = loss + F.cross_entropy(text @ _joined(image, group).T / temperature, target)
        return loss


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=1)


def _joined(x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """The rows of all processes in the order of their ranks, with gradients.

    The public form, in torch.distributed.nn, is deprecated in favour of this one, which a
    compiled step can hold.
    """
    if group is None:
        return x
    joined: Tensor = collectives.all_gather_single_autograd(x.contiguous(), 0, group)
    return joined


def _targets(image: Tensor, text_ids: Tensor | None, group: dist.ProcessGroup | None) -> Tensor:
    """What each local row should choose: a column, K; or shares of them, K x columns."""
    if text_ids is None:
        first = dist.get_rank(group) * len(image) if group else 0
        return torch.arange(first, first + len(image), device=image.device)
    everyones = text_ids
    if group is not None:
        everyones = text_ids.new_empty(dist.get_world_size(group) * len(text_ids))
        dist.all_gather_single(everyones, text_ids, group)
    same = (text_ids[:, None] == everyones[None, :]).to(image.dtype)
    return same / same.sum(dim=1, keepdim=True)
