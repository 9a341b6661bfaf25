"""The history of a run: losses, throughput and validations, in `history.jsonl` and the loggers.

Losses stay on the device, one small tensor per step. `History.write` reads them all at once,
which is the only time that the host waits for the device, and raises if one is not finite.
"""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning.fabric import Fabric
from torch import Tensor

from training.engine.loggers import ExperimentLogger
from training.refusal import NotFinite

HISTORY = "history.jsonl"
TIMES = ("minutes", "images_per_s", "data_wait")
"""Keys of a line that depend on the machine."""


class History:
    """Collects the values of steps and writes their means.

    Attributes:
        data_wait_s: seconds that steps have waited for their data since the last line.
    """

    def __init__(
        self,
        fabric: Fabric,
        folder: Path,
        loggers: Sequence[ExperimentLogger],
        rows: int,
        *,
        scaled: bool,
    ) -> None:
        """Start the clock.

        Args:
            fabric: processes of the run; the first of them writes the means over all.
            folder: folder of the run.
            loggers: loggers of the first process; none on the others.
            rows: rows that a step of all processes sees.
            scaled: True if a gradient scaler skips the steps whose gradients are not finite.
        """
        self._fabric, self._folder, self._loggers, self._rows = fabric, folder, loggers, rows
        self._scaled = scaled
        self._names: list[str] = []
        self._values: list[Tensor] = []
        self._validation: dict[str, float] = {}
        self._began = self._last = time.monotonic()
        self.data_wait_s = 0.0

    def add_step(self, values: Mapping[str, Tensor]) -> None:
        """Keep the values of one step on the device, without reading them."""
        self._names = list(values)
        self._values.append(torch.stack([value.detach().float() for value in values.values()]))

    def add_validation(self, values: Mapping[str, float]) -> None:
        """Keep the values of a validation for the next line."""
        self._validation = dict(values)

    @contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        """Count the time inside as time that the step waited for its data."""
        start = time.monotonic()
        yield
        self.data_wait_s += time.monotonic() - start

    def write(self, step: int, lr: float) -> None:
        """Write a line with the means of all steps since the last line.

        Args:
            step: number of steps done.
            lr: learning rate of the last of them.

        Raises:
            NotFinite: a loss, or without a scaler a gradient, was not finite.
        """
        # steps x values; the mean over the processes
        means = torch.as_tensor(self._fabric.all_reduce(torch.stack(self._values)))
        table = [dict(zip(self._names, row, strict=True)) for row in means.tolist()]
        self._check_finite(step - len(table), table)
        used = [row for row in table if math.isfinite(row["gradient_norm"])]
        line = {
            name: round(sum(row[name] for row in used) / max(1, len(used)), 5)
            for name in self._names
        }
        line |= {"rate": lr} | self._throughput(len(table)) | self._validation
        self._validation = {}
        if self._scaled:
            line["skipped_steps"] = len(table) - len(used)
        self._write_line({"step": step} | line)
        self._values.clear()

    def log_panel(self, step: int, panel: Tensor) -> None:
        """Send a panel, H x W x 3 uint8, to the loggers."""
        for logger in self._loggers:
            logger.log_image(step, panel.numpy())

    def close(self) -> None:
        """Close the loggers."""
        for logger in self._loggers:
            logger.close()

    def _check_finite(self, first: int, table: Sequence[Mapping[str, float]]) -> None:
        for step, row in enumerate(table, first):
            if not math.isfinite(row["total"]):
                raise NotFinite(f"step {step}: the loss is {row['total']}")
            if not self._scaled and not math.isfinite(row["gradient_norm"]):
                raise NotFinite(f"step {step}: the gradient is {row['gradient_norm']}")

    def _throughput(self, steps: int) -> dict[str, float]:
        """Return the times of the last steps, and restart the clock for the next line."""
        now = time.monotonic()
        seconds = max(now - self._last, 1e-9)
        times = {
            "minutes": round((now - self._began) / 60, 2),
            "images_per_s": round(steps * self._rows / seconds, 2),
            "data_wait": round(self.data_wait_s / seconds, 4),
        }
        self._last, self.data_wait_s = now, 0.0
        return times

    def _write_line(self, line: dict[str, float]) -> None:
        if not self._fabric.is_global_zero:
            return
        with (self._folder / HISTORY).open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
        for logger in self._loggers:
            logger.log_scalars(int(line["step"]), {k: v for k, v in line.items() if k != "step"})


def drop_lines_after(folder: Path, step: int) -> None:
    """Drop the lines of later steps, which a killed run wrote after its last checkpoint."""
    path = folder / HISTORY
    if not path.is_file():
        return
    kept = [line for line in path.read_text().splitlines() if _step_of(line) <= step]
    partial = path.with_suffix(".partial")
    partial.write_text("".join(f"{line}\n" for line in kept))
    partial.replace(path)


def _step_of(line: str) -> float:
    """Return the step of one line; infinity for a line that a kill cut off."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
