"""What a run tells: `history.jsonl`, loggers, and how fast it goes.

Losses stay on the device, one small tensor a step; `note` reads them all at once, which is
the only time that the host waits for the device, and refuses what is not finite.
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

from training.engine.loggers import Log

HISTORY = "history.jsonl"
TIMES = ("minutes", "images_per_s", "data_wait")
"""Keys of a line that depend on the machine."""


class Journal:
    """Collects the values of steps and writes their means."""

    def __init__(
        self, fabric: Fabric, folder: Path, logs: Sequence[Log], rows: int, *, scaled: bool
    ) -> None:
        """Begin to take time.

        Args:
            fabric: whose processes' means are written, by the first of them.
            folder: of the run.
            logs: of the first process; none elsewhere.
            rows: that a step of all processes sees.
            scaled: a gradient scaler leaves out steps whose gradients are not finite.
        """
        self._fabric, self._folder, self._logs, self._rows = fabric, folder, logs, rows
        self._scaled = scaled
        self._names: list[str] = []
        self._values: list[Tensor] = []
        self._seen: dict[str, float] = {}
        self._began = self._last = time.monotonic()
        self.waited_s = 0.0
        """Seconds that steps waited for their data since the last note."""

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Keep the values of one step, without reading them."""
        self._names = list(values)
        self._values.append(torch.stack([value.detach().float() for value in values.values()]))

    def saw(self, values: Mapping[str, float]) -> None:
        """Keep what a look at the validation split gave for the next line."""
        self._seen = dict(values)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time inside as time that the step waited for its data."""
        start = time.monotonic()
        yield
        self.waited_s += time.monotonic() - start

    def note(self, step: int, rate: float) -> None:
        """Write the means of all steps since the last note.

        Args:
            step: steps done.
            rate: learning rate of the last of them.

        Raises:
            FloatingPointError: a loss, or without a scaler a gradient, was not finite.
        """
        each = torch.as_tensor(self._fabric.all_reduce(torch.stack(self._values)))  # their mean
        table = [dict(zip(self._names, row, strict=True)) for row in each.tolist()]
        self._check(step - len(table), table)
        used = [row for row in table if math.isfinite(row["gradient_norm"])]
        line = {
            name: round(sum(row[name] for row in used) / max(1, len(used)), 5)
            for name in self._names
        }
        line |= {"rate": rate} | self._pace(len(table)) | self._seen
        self._seen = {}
        if self._scaled:
            line["skipped_steps"] = len(table) - len(used)
        self._write({"step": step} | line)
        self._values.clear()

    def picture(self, step: int, panel: Tensor) -> None:
        """Show a panel, H x W x 3 uint8."""
        for log in self._logs:
            log.picture(step, panel.numpy())

    def _check(self, first: int, table: Sequence[Mapping[str, float]]) -> None:
        for step, row in enumerate(table, first):
            if not math.isfinite(row["total"]):
                raise FloatingPointError(f"step {step}: the loss is {row['total']}")
            if not self._scaled and not math.isfinite(row["gradient_norm"]):
                raise FloatingPointError(f"step {step}: the gradient is {row['gradient_norm']}")

    def _pace(self, steps: int) -> dict[str, float]:
        now = time.monotonic()
        seconds = max(now - self._last, 1e-9)
        pace = {
            "minutes": round((now - self._began) / 60, 2),
            "images_per_s": round(steps * self._rows / seconds, 2),
            "data_wait": round(self.waited_s / seconds, 4),
        }
        self._last, self.waited_s = now, 0.0
        return pace

    def _write(self, line: dict[str, float]) -> None:
        if not self._fabric.is_global_zero:
            return
        with (self._folder / HISTORY).open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
        for log in self._logs:
            log.scalars(int(line["step"]), {k: v for k, v in line.items() if k != "step"})


def forget_after(folder: Path, step: int) -> None:
    """Drop the lines of steps that a killed run wrote after its last checkpoint."""
    path = folder / HISTORY
    if not path.is_file():
        return
    kept = [line for line in path.read_text().splitlines() if _step_of(line) <= step]
    partial = path.with_suffix(".partial")
    partial.write_text("".join(f"{line}\n" for line in kept))
    partial.replace(path)


def _step_of(line: str) -> float:
    """Of one line; infinite for one that was cut off when the run was killed."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
