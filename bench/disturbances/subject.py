"""The service under test: a real process that is killed, stopped and started again on one port."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.load.http1 import HOST
from bench.servers.process import ROOT, free_port

READY_S = 300.0
TIMEOUT_S = 120.0


class NotReady(Exception):
    """The service did not become ready."""


@dataclass(frozen=True)
class Response:
    """One response.

    Attributes:
        status: HTTP status.
        headers: headers in lower case.
        body: bytes of the body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


class Subject:
    """The service as a process.

    Args:
        environment: `G2D_*` variables.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.port = free_port()
        self._environment = dict(environment)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **changes: str) -> None:
        """Start the service and wait until it is ready.

        Raises:
            NotReady: it ended, or was not ready in time.
        """
        command = [sys.executable, "-m", "g2d", "serve", "--port", str(self.port)]
        environment = {**os.environ, **self._environment, **changes}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=self._log, stderr=subprocess.STDOUT
        )
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.ask("GET", "/health/ready", timeout_s=5).status == http.HTTPStatus.OK:
                    return
            time.sleep(0.1)
        raise NotReady(self.tail())

    def kill(self) -> None:
        """End the service as a power failure would."""
        self._signal(signal.SIGKILL)

    def terminate(self) -> float:
        """Tell the service to stop, and return the seconds that it took."""
        started = time.monotonic()
        self._signal(signal.SIGTERM)
        return time.monotonic() - started

    def close(self) -> None:
        """End the service for good."""
        if self._process is not None and self._process.poll() is None:
            self.terminate()
        self._log.close()

    def decoders(self) -> list[psutil.Process]:
        """Return the processes below the service: the fork server first, then its workers."""
        if self._process is None:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self._process.pid).children(recursive=True)
        return []

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Response:
        """Send one request over a new connection.

        Raises:
            OSError, http.client.HTTPException: no response came.
        """
        connection = http.client.HTTPConnection(HOST, self.port, timeout=timeout_s)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Response(response.status, found, response.read())
        finally:
            connection.close()

    def tail(self, lines: int = 5) -> str:
        """Return the last lines of the log."""
        self._log.seek(0)
        return " | ".join(self._log.read().decode(errors="replace").splitlines()[-lines:])

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise NotReady("the service was not started")
        self._process.send_signal(number)
        self._process.wait(TIMEOUT_S)


def body_files(folder: Path) -> tuple[int, int]:
    """Return the number of bodies of jobs in a folder, and of uploads that were cut off."""
    incoming = folder / "incoming"
    halves = list(incoming.iterdir()) if incoming.is_dir() else []
    return len(list(folder.glob("*.body"))), len(halves)
