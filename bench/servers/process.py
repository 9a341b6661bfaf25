"""Servers as processes: starting, waiting until ready, freezing, weighing and stopping them.

While one server is measured, the others are frozen (SIGSTOP), so that their timers and polling
threads use no CPU time. Only processes that were started here are signalled.
"""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.load.http1 import HOST

MIB = 1024 * 1024
ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 300.0


class CannotStart(Exception):
    """A server ended at once, or was not ready in time."""


class Server:
    """One server process and its children.

    Args:
        command: command line of the server.
        port: port of 127.0.0.1 on which it will listen.
        ready_path: path that answers 200 once the server is ready.
        environment: variables in addition to those of this process.
    """

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        ready_path: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        self._ready_path = ready_path
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self._started = time.perf_counter()
        self._process = subprocess.Popen(
            list(command),
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_until_ready(self) -> float:
        """Return the seconds from the start until the server is ready.

        Raises:
            CannotStart: the server ended, or was not ready in time.
        """
        while time.perf_counter() - self._started < START_TIMEOUT_S:
            if self._process.poll() is not None:
                raise CannotStart(f"it ended at once: {self.tail()}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get(self._ready_path)[0] == http.HTTPStatus.OK:
                    return time.perf_counter() - self._started
            time.sleep(0.01)
        raise CannotStart(f"not ready after {START_TIMEOUT_S:g} s: {self.tail()}")

    def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body of one GET request."""
        return self.ask("GET", path)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Return status and body of one request over a new connection."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            connection.request(method, path, body or None, dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def alive(self) -> bool:
        """Return whether the server is still running."""
        return self._process.poll() is None

    def freeze(self) -> None:
        """Suspend the server and its children."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume the server and its children."""
        self._signal(signal.SIGCONT)

    def pss_mib(self) -> float:
        """Return the memory (PSS) of the server and its children; shared pages count once."""
        return self._sum(lambda process: process.memory_full_info().pss) / MIB

    def cpu_s(self) -> float:
        """Return the CPU time that the server and its present children have used so far."""
        return self._sum(lambda process: sum(process.cpu_times()[:2]))  # user and system

    def _sum(self, measure: Callable[[Any], float]) -> float:
        """Return the sum of a measurement over the server and its children."""
        import psutil  # not in the environments of the peers, which import this module too

        total = 0.0
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self._process.pid)
            for process in (parent, *parent.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    total += measure(process)
        return total

    def tail(self, lines: int = 3) -> str:
        """Return the last lines of the server's output."""
        self._log.seek(0)
        text = self._log.read().decode(errors="replace").strip().splitlines()
        return " | ".join(text[-lines:])

    def stop(self) -> None:
        """Stop the server: SIGTERM first, SIGKILL after 10 s."""
        self.thaw()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
        self._signal(signal.SIGKILL)  # children that outlived it
        self._log.close()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


@contextlib.contextmanager
def serving(server: Server) -> Iterator[tuple[Server, float]]:
    """Yield a server and the seconds until it was ready, and stop it at the end."""
    try:
        yield server, server.wait_until_ready()
    finally:
        server.stop()


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
