"""Configuration of the optimiser and of the training engine."""

from typing import Literal, Self

from pydantic import Field, model_validator

from training.config.base import Strict


class OptimiserConfig(Strict):
    """AdamW with linear warm-up and cosine decay to zero."""

    lr: float = Field(default=2e-4, gt=0)
    text_lr: float | None = Field(default=None, gt=0)
    """Learning rate of the text encoder; null is `lr`."""
    weight_decay: float = Field(default=1e-8, ge=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of all steps."""
    restart_every: int | None = Field(default=None, ge=1)
    """Steps after which the cosine starts again; null is one cosine to the last step."""
    clip_norm: float | None = Field(default=5.0, gt=0)
    """Gradients are scaled down to this norm; null leaves them as they are."""


class EngineConfig(Strict):
    """Where a run computes, how it is fed and watched.

    A run may go on with another `engine` than it began with, as long as a step sees as many rows.
    """

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    devices: int = Field(default=1, ge=1)
    """Processes on each node, one a device. Under torchrun or SLURM the launcher's count holds."""
    nodes: int = Field(default=1, ge=1)
    """Likewise."""
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """`auto` is one process, or ddp for several. `fsdp` shards the weights; CUDA only."""
    accumulate: int = Field(default=1, ge=1)
    """Micro-batches of a step, whose gradients are added up. The contrastive loss has its
    negatives from one micro-batch (of all processes), never from the others of its step."""
    sync_batchnorm: bool = False
    """Batch norm over the batch of all processes instead of each its own. CUDA only."""
    compile: bool = False
    """Through torch.compile; the first steps take minutes."""
    workers: int = Field(default=1, ge=0)
    """Threads that read and tokenise ahead; 0 does so between two steps."""
    prefetch: int = Field(default=3, ge=1)
    """Micro-batches that are read ahead."""
    bucket: int = Field(default=0, ge=0)
    """Batches that are sorted by the reports' lengths together, so that little is padding; 0 or 1
    does not sort. Rows of one batch then have reports of like length."""
    log_every: int | None = Field(default=None, ge=1)
    """Steps between two lines of the log, the only times that the host waits for the device;
    null is `checkpoint_every`."""
    loggers: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ("tensorboard",)
    """Beside `history.jsonl`. `mlflow` and `wandb` need the extra of that name."""
    picture_every: int = Field(default=0, ge=0)
    """Steps between two panels of image, attention, pseudo mask and prediction; 0 is none."""

    @model_validator(mode="after")
    def _pictures_need_whole_weights(self) -> Self:
        if self.strategy == "fsdp" and self.picture_every:
            raise ValueError("no process has whole weights under fsdp: set picture_every to 0")
        return self
