"""Where a run is watched: TensorBoard by default, MLflow and Weights & Biases by extra.

A resumed run goes on in the same place, and what was logged after its last checkpoint is
replaced. Nothing is sent anywhere unless `mlflow` or `wandb` is configured.
"""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
PANEL = "image_attention_pseudo-mask_prediction"


class Log(Protocol):
    """One place that a run tells its progress to."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Values after so many steps."""

    def picture(self, step: int, panel: Picture) -> None:
        """H x W x 3 after so many steps."""

    def close(self) -> None:
        """Write what is not yet written."""


def open_log(name: str, folder: Path, start: int, config: Mapping[str, Any]) -> Log:
    """Open one log.

    Args:
        name: `tensorboard`, `mlflow` or `wandb`.
        folder: of the run.
        start: steps already done; later ones were lost with a killed run.
        config: of the run.

    Raises:
        ModuleNotFoundError: the package is not installed; the message says what to install.
    """
    kinds: dict[str, Callable[[Path, int, Mapping[str, Any]], Log]]
    kinds = {"tensorboard": TensorBoardLog, "mlflow": MlflowLog, "wandb": WandbLog}
    return kinds[name](folder, start, config)


def _module(name: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"the configured logger needs {name}: pip install 'g2d-radiograph[{extra}]'"
        ) from error


class TensorBoardLog:
    """Event files under `<run>/tensorboard`, read by `tensorboard --logdir runs`."""

    def __init__(self, folder: Path, start: int, config: Mapping[str, Any]) -> None:
        """Open an event file; `start` hides what an earlier one holds beyond it."""
        writer = _module("tensorboardX", "train").SummaryWriter
        purge = start + 1 if start else None
        self._writer = writer(str(folder / "tensorboard"), purge_step=purge)
        if not start:
            self._writer.add_text("config", f"```\n{dict(config)}\n```", 0)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One curve a value."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, panel: Picture) -> None:
        """Under the images."""
        self._writer.add_image(PANEL, panel, step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()


class MlflowLog:
    """A run on the tracking server of MLFLOW_TRACKING_URI, or under the working folder."""

    def __init__(self, folder: Path, start: int, config: Mapping[str, Any]) -> None:
        """Begin a run named after the folder, or go on with the one it began before."""
        self._mlflow = _module("mlflow", "mlflow")
        noted = folder / "mlflow_run_id"
        known = noted.read_text() if start and noted.is_file() else None
        run = self._mlflow.start_run(run_id=known, run_name=None if known else folder.name)
        noted.write_text(run.info.run_id)
        if not known:
            self._mlflow.log_dict(dict(config), "config.json")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """As metrics."""
        self._mlflow.log_metrics(dict(values), step=step)

    def picture(self, step: int, panel: Picture) -> None:
        """As a file of the run."""
        self._mlflow.log_image(panel, f"panels/step-{step:07}.png")

    def close(self) -> None:
        """End the run."""
        self._mlflow.end_run()


class WandbLog:
    """A run in the project of WANDB_PROJECT; WANDB_MODE=offline keeps it in the folder."""

    def __init__(self, folder: Path, start: int, config: Mapping[str, Any]) -> None:
        """Begin a run named after the folder, or go on with the one it began before."""
        self._wandb = _module("wandb", "wandb")
        noted = folder / "wandb_run_id"
        known = noted.read_text() if start and noted.is_file() else None
        self._run = self._wandb.init(
            dir=str(folder), name=folder.name, config=dict(config), id=known, resume="allow"
        )
        noted.write_text(self._run.id)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """As one entry of the history."""
        self._run.log(dict(values), step=step)

    def picture(self, step: int, panel: Picture) -> None:
        """Beside the values of the step."""
        self._run.log({PANEL: self._wandb.Image(panel)}, step=step)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()
