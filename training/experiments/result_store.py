"""Results of tables on disk: one folder for each cell, with its run and its result.

    <out>/config.json               settings that every result depends on
    <out>/pretrain/<arm>/           pre-training of an arm; <arm>-<seed> where each seed has its own
    <out>/cells/<name>/             run of a cell: last.ckpt, best.ckpt, history.jsonl, ...
                       result.json  result of the cell, written whole or not at all
                       failed.txt   reason and traceback of a cell that failed

A folder belongs to one configuration, so that results of different configurations never mix, and
a table that was killed continues with the cells that are missing.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from training.atomic_write import write_atomically
from training.engine.checkpoint import CHECKPOINT
from training.engine.model_selection import BEST
from training.experiments.plan import Cell, Claim


@dataclass(frozen=True)
class Measured:
    """A figure of the test split, a fraction of 1, with its 95 % interval.

    Attributes:
        low, high: ends of the interval; None where the measurement has none.
        n: number of images.
    """

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class ProbeTraining:
    """Training of the probe that gave a result.

    Attributes:
        valid: metric on the validation split, by which the step was chosen.
        step: chosen step.
        labels: number of training images whose labels were used.
        patients: number of patients that these images belong to.
    """

    valid: float
    step: int
    labels: int
    patients: int


@dataclass(frozen=True)
class Result:
    """Figures of one cell.

    Attributes:
        cell: data set, start, fraction, seed and protocol.
        found: key of a column -> figure.
        checkpoint: SHA-256 of the checkpoint that the cell started from, or "".
        seconds: time that the last process spent on the cell; a probe does not count the
            computation of its features.
        commit: commit that measured the cell.
        probe: training of the probe; None where the cell was fine-tuned or not trained.
    """

    cell: Cell
    found: dict[str, Measured]
    checkpoint: str
    seconds: float
    commit: str
    probe: ProbeTraining | None = None


class ResultFolder:
    """Folder with the results of one configuration."""

    def __init__(self, path: Path) -> None:
        """Args: path: the folder; it is created when it is claimed."""
        self.path = path

    @property
    def _config(self) -> Path:
        return self.path / "config.json"

    def claim(self, claim: Claim) -> None:
        """Make it the folder of these settings.

        Raises:
            ValueError: it holds results of other settings.
        """
        self.refuse_others(claim)
        if not self._config.is_file():
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomically(self._config, claim.model_dump_json(indent=1).encode())

    def refuse_others(self, claim: Claim) -> None:
        """Refuse a folder of other settings; a folder that does not exist yet is accepted.

        Raises:
            ValueError: it holds results of other settings.
        """
        if self._config.is_file():
            self.check(claim)

    def check(self, claim: Claim) -> None:
        """Refuse a folder of other settings, or one where nothing was computed.

        Raises:
            FileNotFoundError: no table was started in it.
            ValueError: it holds results of other settings.
        """
        if not self._config.is_file():
            raise FileNotFoundError(f"{self.path} holds no tables")
        text = self._config.read_bytes()
        try:  # compare as settings, not as text: later versions may know more keys
            same = Claim.model_validate_json(text) == claim
        except ValidationError as error:
            raise ValueError(self._refusal(text)) from error
        if not same:
            raise ValueError(self._refusal(text))

    def _refusal(self, text: bytes) -> str:
        if re.search(rb'"kind":\s*"ablation"', text):
            return (
                f"{self.path} holds an ablation in the format of an earlier version, which cannot "
                "be continued; choose a new --out"
            )
        return f"{self.path} holds the tables of another configuration; choose a new --out"

    def run(self, cell: Cell) -> Path:
        """Return the folder of a cell's run."""
        return self.path / "cells" / cell.name

    def pretraining(self, arm: str, seed: int | None = None) -> Path:
        """Return the folder of an arm's pre-training.

        Args:
            arm: name of the arm.
            seed: seed of a table that pre-trains each seed, else None.
        """
        return self.path / "pretrain" / (arm if seed is None else f"{arm}-{seed}")

    def result(self, cell: Cell, checkpoint: str | None = None) -> Result | None:
        """Return the result of a cell, or None if it was not computed yet.

        Args:
            cell: the cell.
            checkpoint: SHA-256 of the checkpoint that it should have started from, or ""; None
                accepts any.

        Raises:
            ValueError: the file is broken, or its cell started from another checkpoint.
        """
        file = self._file(cell)
        if not file.is_file():
            return None
        try:
            result = _result(json.loads(file.read_text()))
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise ValueError(f"{file} is not a result; remove it") from error
        if result.cell != cell:
            raise ValueError(f"{file} holds the result of another cell; remove it")
        if checkpoint is not None and result.checkpoint != checkpoint:
            raise ValueError(f"{file} is of another checkpoint; choose a new --out")
        return result

    def keep(self, result: Result) -> None:
        """Write one result, whole or not at all."""
        file = self._file(result.cell)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(asdict(result), indent=1).encode())
        self._failure(result.cell).unlink(missing_ok=True)

    def keep_failure(self, cell: Cell, reason: str, details: str) -> None:
        """Record that a cell failed, until it has a result.

        Args:
            cell: the cell.
            reason: the reason in one line.
            details: traceback of the error.
        """
        file = self._failure(cell)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, f"{reason}\n\n{details}".encode())

    def failure(self, cell: Cell) -> str:
        """Return the reason why a cell failed when it was last computed, or ""."""
        file = self._failure(cell)
        return file.read_text().partition("\n")[0] if file.is_file() else ""

    def forget_weights(self, cell: Cell) -> None:
        """Remove the checkpoints of a measured cell; its result stays."""
        for name in (BEST, CHECKPOINT):
            (self.run(cell) / name).unlink(missing_ok=True)

    def _file(self, cell: Cell) -> Path:
        return self.run(cell) / "result.json"

    def _failure(self, cell: Cell) -> Path:
        return self.run(cell) / "failed.txt"


def _result(read: dict[str, Any]) -> Result:
    found = {name: Measured(**value) for name, value in read.pop("found").items()}
    probe = read.pop("probe", None)
    trained = None if probe is None else ProbeTraining(**probe)
    return Result(Cell(**read.pop("cell")), found, **read, probe=trained)


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits.

    Raises:
        FileNotFoundError: the file does not exist.
    """
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
