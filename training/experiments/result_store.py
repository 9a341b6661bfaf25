"""Where the cells of the tables are: each in a folder of its own, with its run and its result.

<out>/config.json               what every result depends on
<out>/pretrain/<arm>/           pre-trainings of the ablations
<out>/cells/<name>/             the run of a cell: last.ckpt, best.ckpt, history.jsonl, ...
                   result.json  what was measured, written whole or not at all
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.engine.checkpoint import CHECKPOINT
from training.engine.model_selection import BEST
from training.experiments import results
from training.experiments.plan import Cell, Claim
from training.experiments.results import Claimed


@dataclass(frozen=True)
class Measured:
    """A figure of the test split, a share of 1, with its 95 % interval.

    Attributes:
        low, high: None where the measurement has no interval.
        n: images that it was measured on.
    """

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Result:
    """What a cell found.

    Attributes:
        cell: what was asked: data set, start, fraction, seed and protocol.
        found: metric -> figure.
        checkpoint: SHA-256 of what it started from, or "".
        seconds: from the start of the process's work on it; an earlier, killed one is not counted.
        commit: that measured it.
    """

    cell: Cell
    found: dict[str, Measured]
    checkpoint: str
    seconds: float
    commit: str


class Folder:
    """The results of a configuration."""

    def __init__(self, path: Path) -> None:
        """Args: path: made when it is claimed."""
        self.path = path
        self._claimed = Claimed(path, Claim, "tables")

    def refuse_others(self, claim: Claim) -> None:
        """Refuse a folder of another configuration; one that is not there yet will do.

        Raises:
            ValueError: it holds results of another one.
        """
        if self._claimed.file.is_file():
            self._claimed.check(claim)

    def claim(self, claim: Claim) -> None:
        """Make it the folder of this configuration; as `Claimed.claim`."""
        self._claimed.claim(claim)

    def run(self, cell: Cell) -> Path:
        """Folder of a cell's run."""
        return self.path / "cells" / cell.name

    def pretraining(self, arm: str) -> Path:
        """Folder of an arm's pre-training."""
        return self.path / "pretrain" / arm

    def result(self, cell: Cell, checkpoint: str | None = None) -> Result | None:
        """What was found for a cell, or None.

        Args:
            cell: asked for.
            checkpoint: SHA-256 of what it should have started from, or ""; None is any.

        Raises:
            ValueError: its file is not what this module writes, or it started from another one.
        """
        file = self._file(cell)
        result = results.read(file, _result)
        if result and result.cell != cell:
            raise ValueError(f"{file} holds the result of another cell; remove it")
        if result and checkpoint is not None and result.checkpoint != checkpoint:
            raise ValueError(f"{file} is of another checkpoint; choose a new --out")
        return result

    def keep(self, result: Result) -> None:
        """Write one result, whole or not at all."""
        self._file(result.cell).parent.mkdir(parents=True, exist_ok=True)
        results.write(self._file(result.cell), json.dumps(asdict(result), indent=1))

    def forget_weights(self, cell: Cell) -> None:
        """Remove the checkpoints of a cell that is measured; what it found stays."""
        for name in (BEST, CHECKPOINT):
            (self.run(cell) / name).unlink(missing_ok=True)

    def _file(self, cell: Cell) -> Path:
        return self.run(cell) / "result.json"


def _result(read: dict[str, Any]) -> Result:
    found = {name: Measured(**value) for name, value in read.pop("found").items()}
    return Result(Cell(**read.pop("cell")), found, **read)


def sha256(file: Path) -> str:
    """Of a checkpoint.

    Raises:
        FileNotFoundError: it is not there.
    """
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
