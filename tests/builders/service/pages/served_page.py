"""The service as a process of its own, for tests that drive its pages with a browser."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.builders.models.versions import tiny_version

_READY_S = 120.0


@dataclass(frozen=True)
class Served:
    """A service that is ready.

    Attributes:
        address: its address, without a slash at its end.
        process: the service.
    """

    address: str
    process: "subprocess.Popen[str]"

    @contextmanager
    def stopped_decoders(self) -> Iterator[None]:
        """Stop the processes that decode files while the context lasts: requests wait for them."""
        decoders = psutil.Process(self.process.pid).children(recursive=True)
        assert decoders
        for decoder in decoders:
            decoder.suspend()
        try:
            yield
        finally:
            for decoder in decoders:
                decoder.resume()


@contextmanager
def serving(models: Path, state: Path, versions: int = 1, **settings: str) -> Iterator[str]:
    """Run a service as `running` does, and yield its address."""
    with running(models, state, versions, port=None, **settings) as served:
        yield served.address


@contextmanager
def running(
    models: Path, state: Path, versions: int = 1, port: int | None = None, **settings: str
) -> Iterator[Served]:
    """Run `g2d serve` with the tiny model until it is ready; it is killed at the end.

    Args:
        models: the repository.
        state: folder for jobs.
        versions: number of versions that aliases point to.
        port: where it listens; None is a port that nothing listens on.
        settings: more settings by flat name.
    """
    port = port or free_port()
    environment = {
        **os.environ,
        "G2D_MODELS_DIR": str(models),
        "G2D_DEFAULT_MODEL": tiny_version.NAME,
        "G2D_JOBS_DIR": str(state),
        "G2D_JOBS_MIN_FREE_BYTES": "0",
        "G2D_THREADS": "1",
        "G2D_DECODE_WORKERS": "1",
        "G2D_TRIAL_TIMEOUT_S": "0",
        **{f"G2D_{name.upper()}": value for name, value in settings.items()},
    }
    command = [sys.executable, "-m", "g2d", "serve", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        reader, ready = _read_log(process, versions)
        try:
            if not ready.wait(_READY_S):
                raise RuntimeError("the service is not ready")
            yield Served(f"http://127.0.0.1:{port}", process)
        finally:
            process.kill()
            reader.join()  # it reads to the end before the log is closed


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _read_log(
    process: "subprocess.Popen[str]", versions: int
) -> tuple[threading.Thread, threading.Event]:
    """Read the log to its end in a thread; the event says that all versions are loaded."""
    assert process.stderr is not None
    stream, ready = process.stderr, threading.Event()
    awaited = ["Uvicorn running", *["is ready after"] * versions]

    def read() -> None:
        for line in stream:
            message = str(json.loads(line)["message"])
            for text in [text for text in awaited if text in message][:1]:
                awaited.remove(text)
            if not awaited:
                ready.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader, ready
