"""One ASGI request, message by message, for tests of misbehaving clients."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp


@dataclass
class Reply:
    """Response of the application."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    received: int = 0
    """Number of body messages that the application asked for."""


@dataclass
class Exchange:
    """A request under the control of a test.

    Attributes:
        app: application that answers.
        path: path with an optional query.
        chunks: body in pieces.
        headers: headers in addition to the default ones.
        extensions: what the server offers.
        ends: the body ends after the last chunk; otherwise the client stalls.
        client: address of the client.
        leave: event that closes the connection.
        reply: response so far.
    """

    app: ASGIApp
    path: str
    chunks: Iterable[bytes] = (b"",)
    headers: dict[str, str] = field(default_factory=dict)
    extensions: dict[str, Any] = field(default_factory=dict)
    ends: bool = True
    client: str = "127.0.0.1"
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    reply: Reply = field(default_factory=Reply)

    async def run(self) -> Reply:
        """Send the request and return the response."""
        messages = self._messages()

        async def receive() -> dict[str, Any]:
            self.reply.received += 1
            message = next(messages, None)
            if message is None:
                await self.leave.wait()
            return message or {"type": "http.disconnect"}

        await self.app(self._scope(), receive, self._send)
        return self.reply

    def _messages(self) -> Iterator[dict[str, Any]]:
        chunks = list(self.chunks)
        for number, chunk in enumerate(chunks, 1):
            more = number < len(chunks) or not self.ends
            yield {"type": "http.request", "body": chunk, "more_body": more}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.reply.status = message["status"]
            self.reply.headers = {
                name.decode(): value.decode() for name, value in message["headers"]
            }
        else:
            self.reply.body += message.get("body", b"")

    def _scope(self) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        headers = {"host": "g2d", "content-type": "application/dicom"} | self.headers
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": (self.client, 1),
            "extensions": self.extensions,
            "server": ("g2d", 80),
        }
