"""HTTP server of the gateway: the bounds of its connections, over raw ones to a real server."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import uvicorn

from service.gateway import server
from service.gateway.configuration import Configuration
from service.gateway.configuration.tls import ServerTls
from service.gateway.gateway import Gateway
from service.gateway.receiving.web import Store, build_app
from tests.builders.gateway import running
from tests.builders.service.http import certificates

GET = b"GET /health/live HTTP/1.1\r\nhost: g2d\r\nconnection: close\r\n"


@contextmanager
def serving(configured: Configuration, gateway: Gateway) -> Iterator[int]:
    """Run the server as `g2d gateway` does, and yield its port."""
    store = Store(configured, gateway.intake)
    app = build_app(store, gateway.metrics, gateway.refresh_metrics, gateway.is_ready)
    options = server.http_options(configured, gateway.metrics)
    served = uvicorn.Server(uvicorn.Config(app, port=0, **options))
    thread = threading.Thread(target=served.run)
    thread.start()
    try:
        running.wait_until(lambda: served.started)
        yield served.servers[0].sockets[0].getsockname()[1]
    finally:
        served.should_exit = True
        thread.join()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def rest(connection: socket.socket) -> bytes:
    """Return everything until the server closes the connection."""
    return b"".join(iter(lambda: connection.recv(4096), b""))


def ask(port: int, *sent: bytes) -> bytes:
    with connect(port) as connection:
        for piece in sent:
            connection.sendall(piece)
        return rest(connection)


def closed(gateway: Gateway, reason: str) -> bool:
    text = gateway.metrics.render()[0].decode()
    return f'g2d_gateway_connections_closed_total{{reason="{reason}"}}' in text


@pytest.mark.parametrize("start", [b"GET /", GET + b"x-long: ", GET + b"x-"])
def test_an_endless_head_is_refused(
    configured: Configuration, gateway: Gateway, start: bytes
) -> None:
    with serving(configured, gateway) as port:
        answer = ask(port, start, b"x" * 50_000, b"x" * 50_000)
        assert answer.split()[1] in (b"414", b"431")
        assert ask(port, GET + b"\r\n").split()[1] == b"200"
    assert closed(gateway, "long_head")


def test_silent_connections_keep_nobody_out(
    configured: Configuration, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_CONNECTIONS", 8)
    with serving(configured, gateway) as port, ExitStack() as silent:
        connections = [silent.enter_context(connect(port)) for _ in range(20)]
        assert ask(port, GET + b"\r\n").split()[1] == b"200"
        assert rest(connections[0]) == b""
    assert closed(gateway, "displaced")


def test_silent_handshakes_keep_nobody_out(
    configured: Configuration, gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_CONNECTIONS", 8)
    certificate, key = certificates.write(tmp_path, "gateway")
    web = configured.web.model_copy(
        update={"tls": ServerTls(certificate_file=certificate, key_file=key)}
    )
    encrypted = configured.model_copy(update={"web": web})
    context = ssl.create_default_context(cafile=certificate)
    with serving(encrypted, gateway) as port, ExitStack() as silent:
        for _ in range(20):
            silent.enter_context(connect(port))
        with context.wrap_socket(connect(port), server_hostname="127.0.0.1") as connection:
            connection.sendall(GET + b"\r\n")
            assert rest(connection).split()[1] == b"200"
    assert closed(gateway, "displaced")
