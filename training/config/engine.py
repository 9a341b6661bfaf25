"""Configuration of the optimiser and of the training engine."""

from typing import Literal, Self

from pydantic import Field, model_validator

from radiograph.strict_model import StrictModel


class OptimiserConfig(StrictModel):
    """AdamW with linear warm-up and cosine decay to zero."""

    lr: float = Field(default=2e-4, gt=0)
    """Peak learning rate."""
    text_lr: float | None = Field(default=None, gt=0)
    """Peak learning rate of the text encoder; null uses `lr`."""
    weight_decay: float = Field(default=1e-8, ge=0)
    """Decoupled weight decay of AdamW."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Length of the warm-up, as a fraction of all steps."""
    restart_every: int | None = Field(default=None, ge=1)
    """Steps after which the cosine restarts; null is one cosine over the whole run."""
    clip_norm: float | None = Field(default=5.0, gt=0)
    """Largest global gradient norm; larger gradients are scaled down. null does not clip. The
    norms of a pre-training are usually larger than the default, which then makes them all equal."""


class EngineConfig(StrictModel):
    """Devices, data loading and logging of a run.

    A run may be resumed with another `engine`, as long as a step still sees as many rows.
    """

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """Kind of device."""
    devices: int = Field(default=1, ge=1)
    """Processes on each node, one for each device; under torchrun or SLURM the launcher decides."""
    nodes: int = Field(default=1, ge=1)
    """Number of nodes; under torchrun or SLURM the launcher decides."""
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """`auto` is one process, or ddp for several. `fsdp` shards the weights; CUDA only."""
    accumulate: int = Field(default=1, ge=1)
    """Micro-batches whose gradients are summed in one step. The contrastive loss takes its
    negatives from one micro-batch (of all processes), never from the others of the step."""
    sync_batchnorm: bool = False
    """Compute batch-norm statistics over the batches of all processes. CUDA only."""
    compile: bool = False
    """Compile the model with torch.compile; the first steps then take minutes."""
    workers: int = Field(default=1, ge=0)
    """Threads that load and tokenise batches ahead; 0 loads each batch between two steps."""
    prefetch: int = Field(default=3, ge=1)
    """Number of micro-batches that are loaded ahead."""
    shards_kept_gb: float | None = Field(default=None, gt=0)
    """Gigabytes of fetched shards (`data.shards`) that a node keeps on its disk; null keeps all."""
    bucket: int = Field(default=0, ge=0)
    """Number of batches whose rows are sorted by report length together, to reduce padding; a
    batch then holds reports of similar length. 0 and 1 do not sort."""
    log_every: int | None = Field(default=None, ge=1)
    """Steps between two log entries, the only points at which the host waits for the device;
    null uses `checkpoint_every`."""
    loggers: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ("tensorboard",)
    """Loggers besides `history.jsonl`. `mlflow` and `wandb` need the extra of that name."""
    picture_every: int = Field(default=0, ge=0)
    """Steps between two panels of image, attention, pseudo mask and prediction; 0 draws none."""

    @model_validator(mode="after")
    def _pictures_need_whole_weights(self) -> Self:
        if self.strategy == "fsdp" and self.picture_every:
            raise ValueError("no process has whole weights under fsdp: set picture_every to 0")
        return self
