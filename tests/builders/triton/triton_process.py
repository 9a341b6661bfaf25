"""A real Triton as a process, from the environment that `make triton-test-env` makes.

Its build has the Python backend only. `triton_model.py` takes the name `onnxruntime` among the
backends and runs the graphs instead of Triton's ONNX Runtime backend, so the configurations under
test are those of production.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

VARIABLE = "G2D_TRITON_TEST_ENV"
_ROOT = Path(__file__).parents[3]
_START_S = 180.0


def environment() -> Path:
    """Return the site-packages with Triton; skip the test if there are none."""
    venv = Path(os.environ.get(VARIABLE, _ROOT / ".venv" / "triton"))
    found = sorted(venv.glob("lib/python3*/site-packages/pytriton/tritonserver/bin/tritonserver"))
    if not found:
        pytest.skip(f"no Triton in {venv}: run `make triton-test-env`, or set {VARIABLE}")
    return found[0].parents[3]


def backends(folder: Path) -> Path:
    """Copy the backends of Triton and ours into a folder, and return it."""
    site = environment()
    python = site.parent.name.removeprefix("python")
    server = site / "pytriton" / "tritonserver"
    (folder / "python").mkdir(parents=True)
    for file in ("libtriton_python.so", "triton_python_backend_utils.py"):
        shutil.copy(server / "backends" / "python" / file, folder / "python")
    shutil.copy(
        server / "python_backend_stubs" / python / "triton_python_backend_stub", folder / "python"
    )
    (folder / "onnxruntime").mkdir()
    model = Path(__file__).with_name("triton_model.py")
    shutil.copy(model, folder / "onnxruntime" / "model.py")
    return folder


class Triton:
    """One Triton that can be killed and started again on the same ports.

    Args:
        folder: parent of its repository and its backends.
        options: further options of its command line.
        control: its model control mode.
    """

    def __init__(self, folder: Path, *options: str, control: str = "explicit") -> None:
        self.repository = folder / "repository"
        self.repository.mkdir(exist_ok=True)
        self._backends = backends(folder / "backends")
        self._options = (f"--model-control-mode={control}", *options)
        self._ports = dict(zip(("http", "grpc", "metrics"), _free_ports(3), strict=True))
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def url(self, protocol: str = "grpc") -> str:
        return f"127.0.0.1:{self._ports[protocol]}"

    def start(self) -> None:
        site = environment()
        command = [site / "pytriton/tritonserver/bin/tritonserver"]
        options = [f"--model-repository={self.repository}", f"--backend-directory={self._backends}"]
        for name, port in self._ports.items():
            options += [f"--{name}-address=127.0.0.1", f"--{name}-port={port}"]
        with self._changed:
            self._lines = []
        self._process = subprocess.Popen(
            [*command, *options, *self._options],
            env=_variables(site),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # `kill` ends the processes of its backends too
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self.wait_for("Started Metrics Service")

    def kill(self) -> None:
        if self._process is not None and self._reader is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._reader.join()
            self._process = None

    def wait_for(self, text: str) -> str:
        """Wait for a line of the log that contains a text, and return the first one."""

        def line() -> str:
            return next((line for line in self._lines if text in line), "")

        with self._changed:
            assert self._changed.wait_for(lambda: line() or self._ended(), _START_S), self._lines
            assert line(), "".join(self._lines)
            return line()

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                with self._changed:
                    self._lines.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()


def _variables(site: Path) -> dict[str, str]:
    base = Path((site.parents[2] / "bin" / "python").resolve()).parents[1]
    return {
        "PATH": f"{base / 'bin'}:/usr/bin:/bin",
        "LD_LIBRARY_PATH": f"{site / 'nvidia_pytriton.libs'}:{base / 'lib'}",
        "PYTHONPATH": str(site),
        "OMP_NUM_THREADS": "1",
    }


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
