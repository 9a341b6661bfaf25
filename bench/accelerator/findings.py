"""Options of a part of the GPU benchmark, and its findings.

Only the standard library is imported, so that the benchmark starts, and says what is missing, in an
environment that has little more than torch.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.reporting.checks import Check

Device = Literal["cuda", "cpu"]


class Skipped(Exception):
    """A part cannot run on this machine; the message says why."""


@dataclass(frozen=True)
class Options:
    """Options of every part.

    Attributes:
        device: device that is proved; `cpu` only shows that the parts run.
        quick: True for a few steps of small batches, whose figures are void.
        models_dir: folder of the model repository, for the service.
        work: empty folder for the files of the part.
    """

    device: Device
    quick: bool
    models_dir: Path
    work: Path

    @property
    def batch(self) -> int:
        """Rows of a training step: the paper's 128 pairs of each process."""
        return 2 if self.quick else 128

    @property
    def steps(self) -> int:
        """Measured steps of a training."""
        return 1 if self.quick else 30

    @property
    def warm_up(self) -> int:
        """Steps before those that are measured."""
        return 1 if self.quick else 5

    @property
    def side(self) -> int:
        """Side of the images in pixels: the paper's 224."""
        return 64 if self.quick else 224

    @property
    def patience_s(self) -> float:
        """Seconds that a process of a part may take; a CPU shared with others takes long."""
        return 240.0 if self.device == "cuda" else 3600.0

    @property
    def accelerator(self) -> str:
        """Name of the device in `engine.accelerator`."""
        return "gpu" if self.device == "cuda" else "cpu"


@dataclass(frozen=True)
class Table:
    """A table of measurements.

    Attributes:
        title: heading.
        head: names of the columns.
        rows: cells, as text.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Findings:
    """Results of one part.

    Attributes:
        checks: goals, and whether they were met.
        tables: measurements.
    """

    checks: Sequence[Check] = ()
    tables: Sequence[Table] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return asdict(self)
