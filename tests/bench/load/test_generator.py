import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict

import pytest

from bench.load import http1
from bench.load.generator import Generator, Load, Target, identity, identity_of
from bench.load.statistics import FAILED

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[[bytes], Awaitable[int]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers that answer every GET with the same bytes, and then close."""
    servers: list[asyncio.Server] = []

    async def start(answer: bytes) -> int:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


def answer_of(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


TARGETS = (Target("/", method="GET"),)


async def test_open_loop_sends_every_request_of_its_schedule(serve: Serve) -> None:
    port = await serve(answer_of(b"ok", server_timing="total;dur=4"))
    load = Load(port, TARGETS, rate=200, arrivals="fixed", seconds=0.1)
    outcomes = await Generator(load).run()
    assert sorted(o.intended_s for o in outcomes) == [i / 200 for i in range(20)]
    assert all(o.answered and o.sent_s >= o.intended_s for o in outcomes)
    assert {o.total_ms for o in outcomes} == {4.0}


async def test_closed_loop_ends_after_its_count(serve: Serve) -> None:
    port = await serve(answer_of(b"ok"))
    outcomes = await Generator(Load(port, TARGETS, clients=3, seconds=60, count=10)).run()
    assert len(outcomes) == 10


async def test_a_stopped_generator_starts_no_request(serve: Serve) -> None:
    generator = Generator(Load(await serve(answer_of(b"ok")), TARGETS, clients=2, seconds=60))
    generator.stop()
    assert await generator.run() == []


async def test_a_refusal_is_recorded_with_its_retry_after(serve: Serve) -> None:
    port = await serve(answer_of(b"{}", "503 Service Unavailable", retry_after="1"))
    (outcome,) = await Generator(Load(port, TARGETS, clients=1, count=1)).run()
    assert outcome.refused
    assert outcome.retry_after


@pytest.mark.parametrize("broken", [b"", b"nonsense\r\n\r\n", answer_of(b"ok")[:-1]])
async def test_a_broken_answer_is_a_failure(serve: Serve, broken: bytes) -> None:
    (outcome,) = await Generator(Load(await serve(broken), TARGETS, clients=1, count=1)).run()
    assert outcome.status == FAILED
    assert outcome.note.startswith("BrokenAnswer")


async def test_chunked_answers_are_read(serve: Serve) -> None:
    port = await serve(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    )
    connections = http1.Connections(port)
    answer = await connections.ask(http1.request("GET", "/", {}, b""))
    connections.close()
    assert answer.body == b"abcde"


def test_a_load_survives_a_round_trip_through_json() -> None:
    load = Load(1, (Target("/x", headers={"a": "b"}, body="f"),), rate=2.5, identify=True)
    assert Load.from_json(json.dumps(asdict(load))) == load


def test_identity_of_an_answer_names_header_body_and_thresholds() -> None:
    body = {
        "model": {"name": "m", "version": 2, "digest": "d" * 64},
        "findings": [{"name": "b", "threshold": 0.5}, {"name": "a", "threshold": 0.1}],
    }
    answer = http1.Answer(200, {"x-model-version": "m/2"}, json.dumps(body).encode())
    whole = identity_of("m/2", "m/2", "d" * 64, {"a": 0.1, "b": 0.5})
    assert identity(answer) == whole
    assert identity_of("m/1", "m/2", "d" * 64, {"a": 0.1, "b": 0.5}) != whole
    assert identity_of("m/2", "m/2", "d" * 64, {"a": 0.1, "b": 0.4}) != whole
