"""Optimiser, gradient clipping and gradient scaling."""

import math
from collections.abc import Mapping

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies.fsdp import FSDPStrategy
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from training.config.engine import EngineConfig, OptimiserConfig
from training.engine.optimisation.depthwise_precision import keep_depthwise_in_full_precision


def set_up(
    fabric: Fabric, module: nn.Module, schedule: OptimiserConfig, engine: EngineConfig
) -> tuple[nn.Module, Optimizer]:
    """Move a module to its device and build its optimiser, for all processes of the run.

    Args:
        fabric: launched processes and their device.
        module: module to train.
        schedule: learning rates and weight decay.
        engine: compilation and synchronised batch norm.

    Returns:
        The wrapped module in training mode, and the wrapped optimiser.
    """
    module.to(memory_format=torch.channels_last)
    if fabric.device.type == "cpu":
        keep_depthwise_in_full_precision(module)
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
    """Build AdamW; the text encoder may have its own learning rate.

    Args:
        parameters: parameters by name; those without a gradient are left out.
        config: learning rates and weight decay.
        text_prefix: prefix of the names of the text encoder's parameters.
        fused: True uses PyTorch's fused implementation.
    """
    trained = {name: p for name, p in parameters.items() if p.requires_grad}
    text = [p for name, p in trained.items() if name.startswith(text_prefix)]
    other = [p for name, p in trained.items() if not name.startswith(text_prefix)]
    rates = [(other, config.lr), (text, config.text_lr or config.lr)]
    groups = [{"params": p, "lr": lr, "base_lr": lr} for p, lr in rates if p]
    return AdamW(groups, weight_decay=config.weight_decay, fused=fused or None)


def clip(fabric: Fabric, model: nn.Module, optimiser: Optimizer, norm: float | None) -> Tensor:
    """Clip the gradients and return the norm that they had before, as a tensor on the device.

    Args:
        fabric, model, optimiser: parts of the run.
        norm: largest norm of the gradients; None only measures it.
    """
    norm = math.inf if norm is None else norm
    if isinstance(fabric.strategy, FSDPStrategy):
        found = fabric.clip_gradients(model, optimiser, max_norm=norm, error_if_nonfinite=False)
        return torch.as_tensor(found)
    # Fabric refuses to clip for a fused optimiser with a scaler, because both would unscale the
    # gradients. PyTorch's scaler knows what it has unscaled already.
    if (scaler := gradient_scaler(fabric)) is not None:
        scaler.unscale_(getattr(optimiser, "optimizer", optimiser))
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    return nn.utils.clip_grad_norm_(parameters, norm, error_if_nonfinite=False)


def gradient_scaler(fabric: Fabric) -> torch.amp.GradScaler | None:
    """Return the gradient scaler of half precision; None for any other precision."""
    return getattr(fabric.strategy.precision, "scaler", None)
