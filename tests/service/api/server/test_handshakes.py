"""Connections in a TLS handshake are counted, have a deadline, and keep nobody out."""

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from service.api.server.connections import Connections
from service.api.server.handshakes import loop_with_counted_handshakes
from service.api.server.protocol import protocol_class
from service.certificate import Certificate
from service.settings import Settings
from tests.builders.service.http import certificates
from tests.builders.service.http.wire import Closings

GET = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
BEGINNING = b"\x16\x03\x01\x02\x00"


@dataclass
class Served:
    """A server that speaks TLS, with its limits of connections."""

    port: int
    limits: Connections
    closings: Closings

    def silent(self, sent: bytes = b"") -> socket.socket:
        """Open a connection that never ends its handshake."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        client.sendall(sent)
        return client

    def ask(self) -> bytes:
        """Return the response to a request over TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        with context.wrap_socket(plain) as client:
            client.sendall(GET)
            return b"".join(iter(lambda: client.recv(4096), b""))


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the server in each kind of event loop that it may have."""
    monkeypatch.setattr("service.api.server.handshakes.auto_loop_factory", lambda: request.param)


@contextmanager
def served(folder: Path, **options: object) -> Iterator[Served]:
    """A server on a free port, as `g2d serve` sets it up."""

    async def answer(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"{request.url.scheme} answered")

    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    certificate = Certificate(*certificates.write(folder, "service"))
    closings = Closings()
    protocol = protocol_class(Settings.of(**options), closings)
    config = uvicorn.Config(
        Starlette(routes=[Route("/", answer)]),
        http=protocol,
        log_config=None,
        ws="none",
        lifespan="off",
        ssl_context_factory=lambda _config, _default: certificate.context,
        loop=loop_with_counted_handshakes(protocol.limits),  # type: ignore[arg-type] # is called
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield Served(listening.getsockname()[1], protocol.limits, closings)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.mark.usefixtures("new_loop")
def test_a_request_is_answered_after_the_handshake(tmp_path: Path) -> None:
    with served(tmp_path) as made:
        for _ in range(20):
            assert made.ask().endswith(b"https answered")
        assert made.closings.reasons == []


@pytest.mark.usefixtures("new_loop")
@pytest.mark.parametrize("sent", [b"", BEGINNING], ids=["nothing", "a beginning"])
def test_beyond_the_cap_the_oldest_handshakes_are_closed_and_others_served(
    tmp_path: Path, sent: bytes
) -> None:
    with served(tmp_path, connections=16, header_timeout_s=60) as made, ExitStack() as stack:
        crowd = [stack.enter_context(made.silent(sent)) for _ in range(100)]
        assert made.ask().endswith(b"https answered")
        for client in crowd[:85]:
            drain(client)
        assert set(made.closings.reasons) == {"displaced"}
        assert len(made.closings.reasons) == 85


@pytest.mark.usefixtures("new_loop")
@pytest.mark.parametrize("sent", [b"", BEGINNING], ids=["nothing", "a beginning"])
def test_a_handshake_that_does_not_end_is_closed_and_logged(
    tmp_path: Path, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.INFO, "g2d.connections"),
        served(tmp_path, header_timeout_s=0.1) as made,
        made.silent(sent) as client,
    ):
        drain(client)
        wait_until(lambda: any("connections were closed" in line for line in caplog.messages))
    assert made.closings.reasons == ["slow_handshake"]
    fields = [vars(record)["fields"]["closed"] for record in caplog.records]
    assert fields == [{"slow_handshake": 1}]


@pytest.mark.usefixtures("new_loop")
def test_what_is_no_handshake_is_closed_and_no_longer_counted(tmp_path: Path) -> None:
    with served(tmp_path, header_timeout_s=60) as made:
        for sent in (b"GET / HTTP/1.1\r\n\r\n", BEGINNING + b"x" * 600, b"\0" * 2000):
            with made.silent(sent) as client:
                client.shutdown(socket.SHUT_WR)
                drain(client)
        with made.silent():
            pass  # and one that leaves
        wait_until(lambda: not made.limits._open)
        assert made.ask().endswith(b"https answered")


def drain(client: socket.socket) -> None:
    """Read until the server has closed, or reset, the connection."""
    try:
        while client.recv(100):
            pass
    except ConnectionError:
        pass


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for the thread of the server, which tells nobody."""
    signal = threading.Event()
    for _ in range(600):
        if holds():
            return
        signal.wait(0.1)
    raise AssertionError("it never held")
