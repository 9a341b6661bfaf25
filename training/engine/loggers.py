"""Experiment loggers: TensorBoard by default, MLflow and Weights & Biases as optional extras.

A resumed run continues in the same place and replaces the values that were logged after its last
checkpoint. Nothing leaves the machine unless `mlflow` or `wandb` is configured.
"""

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training.refusal import RunRefused

Image = NDArray[np.uint8]
_PACKAGES = {
    "tensorboard": ("tensorboardX", "train"),
    "mlflow": ("mlflow", "mlflow"),
    "wandb": ("wandb", "wandb"),
}
"""Logger -> its package, and the extra of this project that installs it."""
PANEL = "image_attention_pseudo-mask_prediction"


class ExperimentLogger(Protocol):
    """A place to which a run writes its progress."""

    def log_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log values by name after a number of steps."""

    def log_image(self, step: int, image: Image) -> None:
        """Log an image, H x W x 3, after a number of steps."""

    def close(self) -> None:
        """Write everything that is still buffered."""


def check_loggers(names: Sequence[str]) -> None:
    """Check that the packages of loggers are installed, without importing them.

    Raises:
        RunRefused: one is not; the message says what to install.
    """
    for name in names:
        if importlib.util.find_spec(_PACKAGES[name][0]) is None:
            raise _missing(name)


def _missing(name: str) -> RunRefused:
    package, extra = _PACKAGES[name]
    return RunRefused(
        f"engine.loggers: {name} needs {package}: pip install 'g2d-radiograph[{extra}]'"
    )


def _module(name: str) -> ModuleType:
    """Import the package of a logger."""
    try:
        return importlib.import_module(_PACKAGES[name][0])
    except ModuleNotFoundError as error:
        raise _missing(name) from error


def open_logger(name: str, folder: Path, start: int, config: Mapping[str, Any]) -> ExperimentLogger:
    """Open a logger.

    Args:
        name: `tensorboard`, `mlflow` or `wandb`.
        folder: folder of the run.
        start: number of steps already done; those that were logged beyond it are lost.
        config: configuration of the run.

    Raises:
        RunRefused: the package is not installed; the message says what to install.
    """
    kinds: dict[str, Callable[[Path, int, Mapping[str, Any]], ExperimentLogger]]
    kinds = {"tensorboard": TensorBoardLogger, "mlflow": MlflowLogger, "wandb": WandbLogger}
    return kinds[name](folder, start, config)


class TensorBoardLogger:
    """Event files under `<run>/tensorboard`, read by `tensorboard --logdir runs`."""

    def __init__(self, folder: Path, start: int, config: Mapping[str, Any]) -> None:
        """Open an event file that hides the later steps of earlier files."""
        writer = _module("tensorboard").SummaryWriter
        purge = start + 1 if start else None
        self._writer = writer(str(folder / "tensorboard"), purge_step=purge)
        if not start:
            self._writer.add_text("config", f"```\n{dict(config)}\n```", 0)

    def log_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to the curve of each value."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def log_image(self, step: int, image: Image) -> None:
        """Add an image under the name of the panel."""
        self._writer.add_image(PANEL, image, step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()


class MlflowLogger:
    """A run on the tracking server of MLFLOW_TRACKING_URI, or under the working directory."""

    def __init__(self, folder: Path, start: int, config: Mapping[str, Any]) -> None:
        """Start a run named after the folder, or continue the run that the folder names."""
        self._mlflow = _module("mlflow")
        id_file = folder / "mlflow_run_id"
        run_id = id_file.read_text() if start and id_file.is_file() else None
        run = self._mlflow.start_run(run_id=run_id, run_name=None if run_id else folder.name)
        id_file.write_text(run.info.run_id)
        if not run_id:
            self._mlflow.log_dict(dict(config), "config.json")

    def log_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log the values as metrics."""
        self._mlflow.log_metrics(dict(values), step=step)

    def log_image(self, step: int, image: Image) -> None:
        """Log the image as a file of the run."""
        self._mlflow.log_image(image, f"panels/step-{step:07}.png")

    def close(self) -> None:
        """End the run."""
        self._mlflow.end_run()


class WandbLogger:
    """A run in the project of WANDB_PROJECT; with WANDB_MODE=offline it stays in the folder."""

    def __init__(self, folder: Path, start: int, config: Mapping[str, Any]) -> None:
        """Start a run named after the folder, or continue the run that the folder names."""
        self._wandb = _module("wandb")
        id_file = folder / "wandb_run_id"
        run_id = id_file.read_text() if start and id_file.is_file() else None
        self._run = self._wandb.init(
            dir=str(folder), name=folder.name, config=dict(config), id=run_id, resume="allow"
        )
        id_file.write_text(self._run.id)

    def log_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log the values as one entry of the history."""
        self._run.log(dict(values), step=step)

    def log_image(self, step: int, image: Image) -> None:
        """Log the image beside the values of the step."""
        self._run.log({PANEL: self._wandb.Image(image)}, step=step)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()
