"""Our service: how it is started and what is asked of it."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.load.generator import Target
from bench.servers.ports import free_port
from bench.servers.process import Server

READY = "/health/ready"
LIVE = "/health/live"
PHRASE = "left%20lung"
TASKS = {
    "classify": "/v1/classify",
    "segment": "/v1/segment",
    "detect": "/v1/detect",
    "ground": f"/v1/ground?phrase={PHRASE}",
}
WITHOUT_PHRASE = "/v1/analyze"
ALL_TASKS = f"{WITHOUT_PHRASE}?phrase={PHRASE}"
_MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".dcm": "application/dicom",
}


@dataclass(frozen=True)
class Ours:
    """How the service is started.

    Attributes:
        models_dir: the repository.
        model: of it.
        threads: of the machine that it may use.
        python: the interpreter of an environment that holds the service.
        settings: further `G2D_*` variables.
    """

    models_dir: Path
    model: str
    threads: int
    python: str = sys.executable
    settings: Mapping[str, str] = field(default_factory=dict)

    def start(self, models_dir: Path | None = None, **settings: str) -> Server:
        """Start it on a free port, with another repository or further settings."""
        port = free_port()
        environment = {
            "G2D_MODELS_DIR": str((models_dir or self.models_dir).resolve()),
            "G2D_DEFAULT_MODEL": self.model,
            "G2D_THREADS": str(self.threads),
            **self.settings,
            **settings,
        }
        command = [self.python, "-m", "g2d", "serve", "--port", str(port)]
        return Server(command, port, READY, environment)


def headers(path: Path, accept: str = "application/json") -> dict[str, str]:
    """What goes with a file."""
    kind = _MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")
    return {"Content-Type": kind, "Accept": accept}


def targets(paths: Sequence[str], files: Sequence[Path]) -> tuple[Target, ...]:
    """Every file at every address, in turns."""
    return tuple(
        Target(path, headers=headers(file), body=os.fspath(file))
        for file in files
        for path in paths
    )
