"""Optimiser, gradient clipping and gradient scaling."""

import math
from collections.abc import Mapping

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies.fsdp import FSDPStrategy
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from training.config.engine import EngineConfig, OptimiserConfig


def set_up(
    fabric: Fabric, module: nn.Module, schedule: OptimiserConfig, engine: EngineConfig
) -> tuple[nn.Module, Optimizer]:
    """Module and optimiser on the device, for the processes of the run."""
    module.to(memory_format=torch.channels_last)
    if engine.sync_batchnorm:
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
    sharded = isinstance(fabric.strategy, FSDPStrategy)
    optimiser = build_optimiser(
        dict(module.named_parameters()), schedule, "g2d.lm_model", fused=not sharded
    )
    compiled = torch.compile(module) if engine.compile else module
    model, wrapped = fabric.setup(compiled, optimiser)  # type: ignore[arg-type] # a module too
    model.train()
    return model, wrapped


def build_optimiser(
    parameters: Mapping[str, nn.Parameter],
    config: OptimiserConfig,
    text_prefix: str,
    *,
    fused: bool = True,
) -> AdamW:
    """AdamW; the text encoder, by the prefix of its names, may have its own rate."""
    trained = {name: p for name, p in parameters.items() if p.requires_grad}
    text = [p for name, p in trained.items() if name.startswith(text_prefix)]
    other = [p for name, p in trained.items() if not name.startswith(text_prefix)]
    rates = [(other, config.lr), (text, config.text_lr or config.lr)]
    groups = [{"params": p, "lr": lr, "base_lr": lr} for p, lr in rates if p]
    return AdamW(groups, weight_decay=config.weight_decay, fused=fused or None)


def clip(fabric: Fabric, model: nn.Module, optimiser: Optimizer, norm: float | None) -> Tensor:
    """Scale the gradients down to a norm, or not; gives the norm that they had, unread."""
    norm = math.inf if norm is None else norm
    if isinstance(fabric.strategy, FSDPStrategy):
        found = fabric.clip_gradients(model, optimiser, max_norm=norm, error_if_nonfinite=False)
        return torch.as_tensor(found)
    # Fabric does not clip for a fused optimiser with a scaler, which PyTorch can: it would
    # have to unscale by itself only what is still scaled.
    if (scaler := _scaler(fabric)) is not None:
        scaler.unscale_(getattr(optimiser, "optimizer", optimiser))
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    return nn.utils.clip_grad_norm_(parameters, norm, error_if_nonfinite=False)


def _scaler(fabric: Fabric) -> torch.amp.GradScaler | None:
    return getattr(fabric.strategy.precision, "scaler", None)
