"""`g2d serve` as a process: start, sockets, and stop."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.models.versions import tiny_version


class Server:
    """The running process and its port."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def connect(self) -> contextlib.closing[http.client.HTTPConnection]:
        return contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60))

    def log(self, until: str) -> list[dict[str, object]]:
        """Read lines of the log up to the one with a message, and return them."""
        assert self.process.stderr is not None
        lines: list[dict[str, object]] = []
        for line in self.process.stderr:
            lines.append(json.loads(line))
            if until in str(lines[-1]["message"]):
                break
        return lines


@pytest.fixture
def server(tiny_models: Path) -> Iterator[Server]:
    """A server on a free port; its log says when it listens, so that nothing has to be polled."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "G2D_MODELS_DIR": str(tiny_models),
        "G2D_DEFAULT_MODEL": tiny_version.NAME,
        "G2D_MAX_BODY_BYTES": "1000000",
        "G2D_THREADS": "1",
    }
    command = [sys.executable, "-m", "g2d", "serve", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        running = Server(process, port)
        try:
            yield running
        finally:
            process.kill()


def test_the_server_starts_answers_and_stops_on_a_signal(
    server: Server, rectangle_dicom: bytes
) -> None:
    lines = server.log("Uvicorn running")
    if not any("is ready after" in str(line["message"]) for line in lines):
        server.log("is ready after")
    headers = {"Content-Type": "application/dicom", "X-Request-Id": "e2e"}
    with server.connect() as connection:
        connection.request("POST", "/v1/ground?phrase=bright", rectangle_dicom, headers)
        response = connection.getresponse()
        assert (response.status, json.load(response)["request_id"]) == (200, "e2e")
    line = server.log("request")[-1]
    assert (line["id"], line["route"], line["status"]) == ("e2e", "/v1/ground", 200)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) in (0, -signal.SIGTERM)


def request_too_late(connection: http.client.HTTPConnection) -> None:
    """Send a request that is refused, or reset in the queue of the closed socket."""
    connection.request("GET", "/health/live")
    connection.getresponse()


def test_a_running_request_is_answered_after_the_signal_to_stop(
    server: Server, rectangle_dicom: bytes
) -> None:
    if not any("is ready after" in str(line["message"]) for line in server.log("Uvicorn running")):
        server.log("is ready after")
    half = len(rectangle_dicom) // 2
    with server.connect() as connection:
        connection.putrequest("POST", "/v1/segment")
        connection.putheader("Content-Type", "application/dicom")
        connection.putheader("Content-Length", str(len(rectangle_dicom)))
        connection.endheaders(rectangle_dicom[:half])
        with server.connect() as other:  # answered once the head of the first request was read
            other.request("GET", "/health/live")
            assert other.getresponse().status == 200
        server.process.send_signal(signal.SIGTERM)
        server.log("Shutting down")
        with server.connect() as late, pytest.raises(OSError):  # noqa: PT011 - any refusal
            request_too_late(late)
        connection.send(rectangle_dicom[half:])
        response = connection.getresponse()
        assert (response.status, len(json.load(response)["masks"])) == (200, 2)
    assert server.process.wait(60) in (0, -signal.SIGTERM)


def test_an_endless_header_is_refused(server: Server) -> None:
    server.log("Uvicorn running")
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nX-Long: " + b"x" * 200_000)
        with connection.makefile("rb") as answer:
            assert answer.readline() == b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
            assert b'"urn:g2d:problem:request-header-fields-too-large"' in answer.read()
    with server.connect() as other:
        other.request("HEAD", "/health/live")
        response = other.getresponse()
        assert (response.status, response.read()) == (200, b"")


def test_a_client_that_sends_too_much_receives_the_reason(server: Server) -> None:
    server.log("Uvicorn running")
    with server.connect() as connection:
        connection.request("POST", "/segment", bytes(8_000_000), {"Content-Type": "image/png"})
        response = connection.getresponse()
        problem = json.load(response)
        assert response.status in (413, 503)
        assert problem["type"] in ("urn:g2d:problem:input-too-large", "urn:g2d:problem:not-ready")
        connection.request("GET", "/health/live")  # the connection stays usable
        assert connection.getresponse().status == 200
