"""Processes and devices of a run: one process, or those that torchrun or SLURM started."""

import os
import warnings
from datetime import timedelta
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies.ddp import DDPStrategy
from lightning.fabric.strategies.fsdp import FSDPStrategy
from lightning.fabric.strategies.strategy import Strategy
from transformers.models.bert.modeling_bert import BertLayer

from training.config.engine import EngineConfig
from training.refusal import RunRefused


def launch(config: EngineConfig, precision: str, *, unused_weights: bool = False) -> Fabric:
    """Start or join the processes of a run; each of them returns from this function.

    Args:
        config: devices and strategy. Under torchrun and SLURM, the launcher's counts override
            those of the configuration.
        precision: precision, as Lightning names it.
        unused_weights: True if a trained weight may have no gradient in some step.

    Raises:
        RunRefused: the configuration asks for what the devices of this machine cannot do.
    """
    check_devices(config, precision)
    devices, nodes = started_by_launcher() or (config.devices, config.nodes)
    fabric = Fabric(
        accelerator=config.accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy=strategy_of(config, devices * nodes, unused_weights=unused_weights),
        precision=precision,  # type: ignore[arg-type]
    )
    # Inputs keep their precision: autocast casts where needed, and the thresholds of the pseudo
    # mask are computed from the images. Lightning would cast every tensor, and cannot replace the
    # fields of frozen dataclasses.
    fabric.strategy.precision.convert_input = _unchanged  # type: ignore[method-assign]
    fabric.launch()
    return fabric


def check_devices(config: EngineConfig, precision: str) -> None:
    """Check before any work that this machine can do what the configuration asks for.

    Raises:
        RunRefused: it cannot; the message names the key.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if config.accelerator == "gpu" and not gpus:
        raise RunRefused("engine.accelerator: no GPU was found; choose cpu or auto")
    if config.accelerator == "mps" and not mps:
        raise RunRefused("engine.accelerator: mps is not available; choose cpu or auto")
    on_gpu = bool(gpus) and config.accelerator in ("auto", "gpu")
    devices, _ = started_by_launcher() or (config.devices, config.nodes)
    if on_gpu and devices > gpus:
        raise RunRefused(f"engine.devices: {devices} processes, but {gpus} GPUs were found")
    for key, asked in {
        "engine.sync_batchnorm": config.sync_batchnorm,
        "engine.strategy: fsdp": config.strategy == "fsdp",
        "precision: 16-mixed": precision == "16-mixed",
    }.items():
        if asked and not on_gpu:
            raise RunRefused(f"{key} works on CUDA devices only, and this run has none")
    if precision == "bf16-mixed" and on_gpu and not torch.cuda.is_bf16_supported():
        raise RunRefused("precision: this GPU has no bf16-mixed; choose 16-mixed or 32-true")


def _unchanged(data: Any) -> Any:
    return data


def started_by_launcher() -> tuple[int, int] | None:
    """Return processes per node and nodes as torchrun or srun counts them; None without either."""
    env = os.environ
    if "TORCHELASTIC_RUN_ID" in env:
        local = int(env["LOCAL_WORLD_SIZE"])
        return local, int(env["WORLD_SIZE"]) // local
    if "SLURM_NTASKS" in env and env.get("SLURM_JOB_NAME") not in {"bash", "interactive"}:
        nodes = int(env.get("SLURM_NNODES", "1"))
        return int(env["SLURM_NTASKS"]) // nodes, nodes
    return None


def strategy_of(
    config: EngineConfig, processes: int, *, unused_weights: bool = False
) -> Strategy | str:
    """Return the strategy by which the given number of processes works together.

    Args:
        config: strategy.
        processes: number of processes.
        unused_weights: True if a trained weight may have no gradient in some step. Each step then
            searches the graph for such weights.
    """
    if config.strategy == "fsdp":
        # A full state dict, as in any other run, so that the run can resume on other devices.
        return FSDPStrategy(
            auto_wrap_policy={BertLayer}, state_dict_type="full", use_orig_params=True
        )
    if processes == 1 and config.strategy == "auto":
        return "auto"
    warnings.filterwarnings("ignore", "find_unused_parameters=True was specified")
    # A long timeout: the other processes wait while the first one validates.
    return DDPStrategy(find_unused_parameters=unused_weights, timeout=timedelta(hours=2))
