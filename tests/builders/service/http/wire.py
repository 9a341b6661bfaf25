"""A server with our protocol in the event loop of a test, and raw connections to it.

The application echoes: it answers a request with the bytes of its body.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from service.api.http.middleware import CUT
from service.api.server.protocol import protocol_class
from service.observability.observer import Observer
from service.settings import Settings

LATER_S = 1000.0
"""A time after which every limit has passed."""


class Closings(Observer):
    """Observer that keeps the reasons for which connections were closed."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def connection_closed(self, reason: str) -> None:
        self.reasons.append(reason)


@dataclass
class Client:
    """One raw connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send bytes; a server that stops reading is no error."""
        self.writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def close(self) -> None:
        """Close the connection, whatever the server has done with it."""
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    async def rest(self) -> bytes:
        """Return everything until the server closes the connection."""
        async with asyncio.timeout(60):
            return await self.reader.read()

    async def answer(self) -> tuple[int, bytes]:
        """Return status and body of one response that has a length."""
        async with asyncio.timeout(60):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return int(head.split()[1]), await self.reader.readexactly(length)


@dataclass
class Wire:
    """The running server.

    Attributes:
        port: port that it listens on.
        closings: reasons for which connections were closed.
        scopes: ASGI scopes of the requests that reached the application.
        release: lets requests for /wait be answered.
        arrived: is set when a request reaches the application.
        protocol: class of the connections.
        made: every connection that the server took up.
        clients: the other ends of these.
    """

    port: int = 0
    closings: Closings = field(default_factory=Closings)
    scopes: list[Scope] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    protocol: Any = None
    made: list[Any] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)

    async def connect(self) -> Client:
        """Open a connection that the server has taken up."""
        before = len(self.made)
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        await until(lambda: len(self.made) > before and self.made[-1].transport is not None)
        return client

    def sweep(self, after_s: float = LATER_S) -> None:
        """Close what is overdue, as if a time had passed."""
        now = asyncio.get_running_loop().time()
        self.protocol.limits.sweep(now + after_s)

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Echo the body; /wait waits for `release`, /cut breaks off."""
        self.scopes.append(scope)
        self.arrived.set()
        body = await _body(receive)
        if body is None:
            return
        if scope["path"] == "/wait":
            await self.release.wait()
        length = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        if scope["path"] == "/cut":
            scope["extensions"][CUT]["cut"]()
            return
        await send({"type": "http.response.body", "body": body})


async def until(holds: Callable[[], bool]) -> None:
    """Let the event loop run until a condition holds, for which the server has no event."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0)


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a request, or None if the client is gone."""
    body = bytearray()
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        if not message["more_body"]:
            return bytes(body)


@asynccontextmanager
async def serving(**options: object) -> AsyncIterator[Wire]:
    """Run a server with settings by flat name; nothing of it runs on its own clock."""
    wire = Wire()
    settings = Settings.of(**{"keep_alive_s": 3600, **options})
    wire.protocol = protocol_class(settings, wire.closings)
    wire.protocol.limits._tick = lambda _: None
    keep_alive_s = settings.server.keep_alive_s
    config = uvicorn.Config(
        wire.application, interface="asgi3", log_config=None, timeout_keep_alive=keep_alive_s
    )
    config.load()
    state = ServerState()

    def connection() -> asyncio.Protocol:
        made: asyncio.Protocol = wire.protocol(config=config, server_state=state, app_state={})
        wire.made.append(made)
        return made

    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    async with server:
        try:
            yield wire
        finally:
            wire.release.set()
            for protocol in list(state.connections):
                protocol.transport.abort()
            await until(lambda: not (state.connections or state.tasks))
            for client in wire.clients:
                await client.close()
