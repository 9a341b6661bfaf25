"""Connections: how many there may be, and how long each may be silent."""

import logging
import resource

import pytest

from service.api.server.connections import Phase
from service.settings import Settings
from tests.builders.service.http.wire import serving, until
from tests.service.api.server.test_protocol import GET, problem

WAIT = b"GET /wait HTTP/1.1\r\nHost: g2d\r\n\r\n"


async def test_a_silent_connection_is_closed() -> None:
    async with serving() as wire:
        client = await wire.connect()
        wire.sweep(after_s=9)
        assert wire.closings.reasons == []
        wire.sweep(after_s=11)
        assert await client.rest() == b""
        assert wire.closings.reasons == ["silent"]


@pytest.mark.parametrize("before", [b"", GET + b"\r\n"], ids=["first", "second"])
async def test_half_a_head_is_408(before: bytes) -> None:
    async with serving() as wire:
        client = await wire.connect()
        if before:
            await client.send(before)
            assert await client.answer() == (200, b"")
        await client.send(GET)
        await until(lambda: wire.made[0].phase is Phase.HEAD)
        wire.sweep(after_s=11)
        assert problem(await client.rest()) == (408, "request-timeout")
        assert wire.closings.reasons == ["slow_head"]


async def test_a_request_in_progress_and_a_kept_connection_are_left_alone() -> None:
    async with serving() as wire:
        kept, busy = await wire.connect(), await wire.connect()
        await kept.send(GET + b"\r\n")
        assert await kept.answer() == (200, b"")
        wire.arrived.clear()
        await busy.send(WAIT)
        await wire.arrived.wait()
        wire.sweep()
        wire.release.set()
        assert await busy.answer() == (200, b"")
        await kept.send(GET + b"\r\n")
        assert await kept.answer() == (200, b"")
        assert wire.closings.reasons == []


async def test_beyond_the_limit_the_one_that_waited_longest_is_closed() -> None:
    async with serving(connections=8) as wire:
        clients = [await wire.connect() for _ in range(9)]
        assert await clients[0].rest() == b""
        for client in clients[1:]:
            await client.send(GET + b"\r\n")
            assert await client.answer() == (200, b"")
        assert wire.closings.reasons == ["displaced"]


async def test_beyond_the_limit_busy_connections_stay_and_the_new_one_is_503() -> None:
    async with serving(connections=8) as wire:
        busy = []
        for _ in range(8):
            wire.arrived.clear()
            busy.append(await wire.connect())
            await busy[-1].send(WAIT)
            await wire.arrived.wait()
        late = await wire.connect()
        response = await late.rest()
        assert problem(response) == (503, "overloaded")
        assert b"retry-after: 1\r\n" in response
        wire.release.set()
        assert [await client.answer() for client in busy] == [(200, b"")] * 8
        assert wire.closings.reasons == ["refused"]


async def test_beyond_the_limit_the_slowest_body_is_given_up() -> None:
    async with serving(connections=8) as wire:
        clients = [await wire.connect() for _ in range(8)]
        for number, client in enumerate(clients):
            size = 1 if number == 5 else 1000
            head = b"POST / HTTP/1.1\r\nHost: g2d\r\nContent-Length: 1001\r\n\r\n"
            await client.send(head + b"x" * size)
            await until(lambda: wire.made[number].received > 0)  # noqa: B023 - called at once
            wire.made[number].since -= 10
        late = await wire.connect()
        assert await clients[5].rest() == b""
        await late.send(GET + b"\r\n")
        assert await late.answer() == (200, b"")
        await clients[0].send(b"x")
        assert await clients[0].answer() == (200, b"x" * 1001)
        assert wire.closings.reasons == ["displaced"]


async def test_hundreds_of_silent_connections_keep_nobody_out() -> None:
    async with serving(connections=16) as wire:
        crowd = [await wire.connect() for _ in range(200)]
        client = await wire.connect()
        await client.send(GET + b"\r\n")
        assert await client.answer() == (200, b"")
        assert len(crowd) == 200
        assert wire.closings.reasons == ["displaced"] * 185


async def test_an_answer_that_nobody_reads_is_dropped() -> None:
    async with serving() as wire:
        client = await wire.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        body = b"x" * 30_000_000
        head = b"POST / HTTP/1.1\r\nHost: g2d\r\nContent-Length: %d\r\n\r\n" % len(body)
        await client.send(head + body)
        await until(lambda: wire.made[0].transport.get_write_buffer_size() > 0)
        wire.sweep(after_s=0)
        wire.sweep(after_s=31)
        assert wire.closings.reasons == ["unfetched"]


async def test_closed_connections_have_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as wire:
        for _ in range(3):
            await wire.connect()
        with caplog.at_level(logging.INFO, "g2d.connections"):
            wire.sweep()
        (record,) = caplog.records
        assert vars(record)["fields"]["closed"] == {"silent": 3}


def test_the_limit_leaves_files_to_the_rest_of_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert Settings().server.connections == 768
    monkeypatch.setattr(resource, "getrlimit", lambda _: (200, 4096))
    assert Settings().server.connections == 72
