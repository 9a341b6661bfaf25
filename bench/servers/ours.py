"""Our service as a server under test: its start command and its requests."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.load.generator import Target
from bench.servers.process import Server, free_port

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
    """Configuration of our service.

    Attributes:
        models_dir: folder of the model repository.
        model: name of the default model.
        threads: number of threads that the service may use.
        python: Python interpreter of an environment with the service.
        settings: further `G2D_*` variables.
    """

    models_dir: Path
    model: str
    threads: int
    python: str = sys.executable
    settings: Mapping[str, str] = field(default_factory=dict)

    def start(self, models_dir: Path | None = None, /, **settings: str) -> Server:
        """Start the service on a free port, optionally with another repository or more settings."""
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
    """Return the HTTP headers of a file."""
    kind = _MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")
    return {"Content-Type": kind, "Accept": accept}


def targets(paths: Sequence[str], files: Sequence[Path]) -> tuple[Target, ...]:
    """Return a target for every file at every path."""
    return tuple(
        Target(path, headers=headers(file), body=os.fspath(file))
        for file in files
        for path in paths
    )
