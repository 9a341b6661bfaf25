"""The health check of the image: only an answer of 200 is ready."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from docker import healthcheck
from service.certificate import Certificate
from tests.builders.service.http import certificates


class Quiet(HTTPServer):
    """A server that does not print what is wrong with a connection."""

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def answering(status: int, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server on a free port that answers every request with one status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health/ready" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with Quiet(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "ready"), [(200, True), (204, False), (503, False)])
def test_only_200_is_ready(status: int, ready: bool) -> None:
    with answering(status) as port:
        assert healthcheck.is_ready(port) is ready


def test_an_encrypted_service_is_asked_over_https(tmp_path: Path) -> None:
    context = Certificate(*certificates.write(tmp_path, "g2d")).context
    with answering(200, context) as port:
        assert healthcheck.is_ready(port, tls=True)
        assert not healthcheck.is_ready(port)


def test_a_closed_port_is_not_ready() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert not healthcheck.is_ready(closed.getsockname()[1])
