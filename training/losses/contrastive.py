"""InfoNCE between the embeddings of images and reports.

Source: G2D (Liu et al., NeurIPS 2024), section 3.1, equation 1. The paper prints the direction
from image to report; the released code sums both directions, as CLIP does. Both are summed by
default, and `symmetric` chooses.
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.distributed import _functional_collectives as collectives

_RENAMED = hasattr(dist, "all_gather_single")
"""True from torch 2.14 on, which deprecates the names that earlier releases have."""


def contrastive_loss(
    image: Tensor,
    text: Tensor,
    *,
    temperature: float = 0.07,
    symmetric: bool = True,
    text_ids: Tensor | None = None,
    gather: bool = False,
) -> Tensor:
    """Return the cross-entropy of each embedding against all embeddings of the other side.

    Args:
        image: K x d image embeddings of any length; they are normalised here.
        text: K x d report embeddings; row i belongs to image i.
        temperature: sigma of the paper.
        symmetric: True adds the contrast of each report against all images.
        text_ids: K int64, equal for rows that say the same, so that neither is a negative of the
            other. It serves sentences that are generated from class labels, of which a batch
            holds many copies. None is the loss of the paper.
        gather: True contrasts with the rows of every process, which must all have the same K.
            The mean of the losses over the processes, and of their gradients as DDP takes it,
            then equals that of one process with the joined batch.

    Returns:
        A scalar, float32 for embeddings of any lower precision (float64 stays).
    """
    with torch.autocast(image.device.type, enabled=False):
        image, text = _unit(image), _unit(text)
        # None is a single process: there is no default group before it is initialised.
        group = dist.group.WORLD if gather and dist.is_available() else None
        target = _targets(image, text_ids, group)
        # K x d @ d x columns, where the columns are the rows of all processes
        loss = F.cross_entropy(image @ _joined(text, group).T / temperature, target)
        if symmetric:
            loss = loss + F.cross_entropy(text @ _joined(image, group).T / temperature, target)
        return loss


def _unit(x: Tensor) -> Tensor:
    """Return the rows with length 1, in float32 or better."""
    return F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=1)


def _joined(x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """Return the rows of all processes in the order of their ranks, with gradients.

    The public function in torch.distributed.nn is deprecated in favour of this one, which can
    also be part of a compiled step.
    """
    if group is None:
        return x
    gather = (
        collectives.all_gather_single_autograd
        if _RENAMED
        else collectives.all_gather_tensor_autograd
    )
    joined: Tensor = gather(x.contiguous(), 0, group)
    return joined


def _targets(image: Tensor, text_ids: Tensor | None, group: dist.ProcessGroup | None) -> Tensor:
    """Return the target of each local row: the index of a column, K, or weights, K x columns."""
    if text_ids is None:
        first = dist.get_rank(group) * len(image) if group else 0
        return torch.arange(first, first + len(image), device=image.device)
    all_ids = text_ids
    if group is not None:
        all_ids = text_ids.new_empty(dist.get_world_size(group) * len(text_ids))
        gather = dist.all_gather_single if _RENAMED else dist.all_gather_into_tensor
        gather(all_ids, text_ids, group)
    same = (text_ids[:, None] == all_ids[None, :]).to(image.dtype)
    return same / same.sum(dim=1, keepdim=True)
