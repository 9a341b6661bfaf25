"""Work of each of two processes in the tests of the contrast over processes.

rank 0: rows 0, 1   rank 1: rows 2, 3   -> loss and gradients, written to a file
"""

import os
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from tests.builders.training.parts.tiny_objective import batch
from training.config.pretrain import PretrainConfig
from training.engine import seeding
from training.losses.contrastive import contrastive_loss
from training.model.text_encoder import Tokens
from training.pretrain.objective import Pretraining

Result = dict[str, Any]
IDS = torch.tensor([5, -3, 5, 8])
"""The first row, of rank 0, and the third, of rank 1, say the same."""


def embeddings() -> tuple[Tensor, Tensor]:
    """Return embeddings of four images and four reports."""
    generator = torch.Generator().manual_seed(7)
    image, text = torch.randn(2, 4, 6, generator=generator, dtype=torch.float64)
    return image.requires_grad_(), text.requires_grad_()


def contrast(rows: slice, *, symmetric: bool, ids: bool, gather: bool = True) -> Result:
    """Return the loss of some rows, and its gradient with respect to all embeddings."""
    image, text = embeddings()
    loss = contrastive_loss(
        image[rows],
        text[rows],
        symmetric=symmetric,
        text_ids=IDS[rows] if ids else None,
        gather=gather,
    )
    gradients = torch.autograd.grad(loss, (image, text))
    return {"loss": loss.detach(), "image": gradients[0], "text": gradients[1]}


def objective(config: PretrainConfig, rows: slice, *, ids: bool, wrap: bool) -> Result:
    """Return the losses of some rows, and the gradient of every weight.

    In evaluation mode: batch normalisation over one process's rows is not that over all of
    them, with the contrast or without.
    """
    seeding.seed_everything(0)
    module = Pretraining(config).eval().to(memory_format=torch.channels_last)
    model = DistributedDataParallel(module) if wrap else module
    images, tokens, said = batch(config)
    of_rows = Tokens(tokens.input_ids[rows], tokens.attention_mask[rows])
    losses = model(images[rows], of_rows, said[rows] if ids else None, 0)
    losses["total"].backward()
    weights = {name: weight.grad for name, weight in module.named_parameters()}
    return {"loss": {k: v.detach() for k, v in losses.items()}, "weights": weights}


def work(rank: int, folder: Path, configs: dict[str, PretrainConfig]) -> None:
    """Compute every case on the rows of this rank, and save the results."""
    warnings.simplefilter("error", FutureWarning)  # deprecated parts of torch
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    meeting = f"file://{folder / 'meeting'}"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    rows = slice(2 * rank, 2 * rank + 2)
    found: dict[str, Result] = {}
    for symmetric in (True, False):
        for ids in (True, False):
            found[f"contrast {symmetric} {ids}"] = contrast(rows, symmetric=symmetric, ids=ids)
    found["alone"] = contrast(rows, symmetric=True, ids=True, gather=False)
    for name, config in configs.items():
        for ids in (True, False):
            found[f"{name} {ids}"] = objective(config, rows, ids=ids, wrap=True)
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()
