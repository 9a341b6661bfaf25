"""Two processes: negatives and gradients that they exchange are those of one process."""

import socket
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from bench.accelerator.findings import Findings, Options, Skipped
from bench.reporting.checks import at_most
from training.losses.contrastive import contrastive_loss

_ROWS, _DIM, _PROCESSES = 16, 128, 2
_GAP = 1e-5


def measure(options: Options) -> Findings:
    """Compare the contrast over two processes with that of one."""
    if options.device == "cuda" and torch.cuda.device_count() < _PROCESSES:
        raise Skipped(f"{torch.cuda.device_count()} GPU, two are needed")
    loss, image, text = _contrast(slice(0, _ROWS), "cpu")
    port = _free_port()
    spawn(_work, (options.device, port, str(options.work)), _PROCESSES)
    found = [torch.load(options.work / f"{rank}.pt") for rank in range(_PROCESSES)]
    mean = torch.stack([part["loss"] for part in found]).mean()
    # The gradient of the mean over the processes, as DDP averages it.
    gradients = [
        torch.stack([part[key] for part in found]).mean(dim=0) for key in ("image", "text")
    ]
    gap = max(float((a - b).abs().max()) for a, b in zip(gradients, (image, text), strict=True))
    backend = _backend(options.device)
    return Findings(
        [
            at_most("contrast of two processes", float((mean - loss).abs()), _GAP, "", backend),
            at_most("its gradient", gap, _GAP, "", f"{_ROWS} pairs, negatives of both"),
        ]
    )


def _contrast(rows: slice, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss of some rows and its gradients with respect to all embeddings."""
    generator = torch.Generator().manual_seed(0)
    image, text = torch.randn(2, _ROWS, _DIM, generator=generator).to(device)
    image.requires_grad_(), text.requires_grad_()
    loss = contrastive_loss(image[rows], text[rows], gather=dist.is_initialized())
    by_image, by_text = torch.autograd.grad(loss, (image, text))
    return loss.detach().cpu(), by_image.cpu(), by_text.cpu()


def _work(rank: int, device: str, port: int, folder: str) -> None:
    """Compute the share of one process and save it."""
    if device == "cuda":
        torch.cuda.set_device(rank)
    dist.init_process_group(
        _backend(device), f"tcp://127.0.0.1:{port}", rank=rank, world_size=_PROCESSES
    )
    share = _ROWS // _PROCESSES
    loss, image, text = _contrast(slice(rank * share, (rank + 1) * share), device)
    torch.save({"loss": loss, "image": image, "text": text}, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def _backend(device: str) -> str:
    return "nccl" if device == "cuda" else "gloo"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
