"""Minimal HTTP/1.1 client over asyncio streams for the load generator.

A client library would use more CPU than a small service, on the cores that are measured.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

HOST = "127.0.0.1"
_IDLE_S = 2.0  # servers close idle connections after about 5 s; reuse must not race with that


class BrokenAnswer(Exception):
    """A response is incomplete or not HTTP."""


@dataclass(frozen=True)
class Answer:
    """One HTTP response; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def request(method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the bytes of one request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read one response.

    Raises:
        BrokenAnswer: the response is incomplete or not HTTP.
    """
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = await _chunks(reader)
        else:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError) as e:
        raise BrokenAnswer(f"no whole answer: {type(e).__name__}") from e
    return Answer(status, headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return body


class Connections:
    """Persistent connections to one port, as many as there are concurrent requests."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, data: bytes) -> Answer:
        """Send the bytes of a request and return the response.

        Raises:
            OSError: the connection failed or was reset.
            BrokenAnswer: the response is incomplete.
        """
        reader, writer = await self._open()
        kept = False
        try:
            writer.write(data)
            answer = await read_answer(reader)
            kept = answer.headers.get("connection", "").lower() != "close"
        finally:
            if kept:
                self._idle.append((time.monotonic(), reader, writer))
            else:
                writer.close()
        return answer

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop()[2].close()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            since, reader, writer = self._idle.pop()
            if not reader.at_eof() and time.monotonic() - since < _IDLE_S:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(HOST, self._port, limit=2**20)
