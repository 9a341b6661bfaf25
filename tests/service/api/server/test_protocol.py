"""Bounds on what arrives before the application sees it, over raw connections to a real server."""

import gc
import json

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tests.builders.service.http.wire import Client, serving

LIMIT = 65_536
PIECE = b"x" * 50_000
GET = b"GET / HTTP/1.1\r\nHost: g2d\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: g2d\r\nTransfer-Encoding: chunked\r\n\r\n"


def problem(response: bytes) -> tuple[int, str]:
    """Return status and kind of a problem, after checking its headers."""
    head, _, body = response.partition(b"\r\n\r\n")
    headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    found = json.loads(body)
    status = int(head.split()[1])
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"connection"] == b"close"
    assert headers[b"x-request-id"].decode() == found["request_id"]
    assert found["status"] == status
    return status, found["type"].removeprefix("urn:g2d:problem:")


TOO_LONG = {
    "header value": (GET + b"X-Long: ", 431),
    "header name": (GET + b"X-", 431),
    "first header name": (b"GET / HTTP/1.1\r\n", 431),
    "request line": (b"GET /", 414),
    "query": (b"GET /?phrase=", 414),
    "chunk extension": (CHUNKED + b"1;x=", 431),
    "trailer value": (CHUNKED + b"1\r\nx\r\n0\r\nX-Long: ", 431),
}


@pytest.mark.parametrize(("start", "status"), TOO_LONG.values(), ids=TOO_LONG)
async def test_an_endless_line_is_refused(start: bytes, status: int) -> None:
    async with serving() as wire:
        client = await wire.connect()
        for piece in (start, PIECE, PIECE):
            await client.send(piece)
        assert problem(await client.rest())[0] == status
        assert wire.closings.reasons == ["long_head"]


REPEATED = {
    "headers": (GET, b"X: 12345678\r\n"),
    "trailers": (CHUNKED + b"1\r\nx\r\n0\r\n", b"X: 12345678\r\n"),
    "empty lines": (b"", b"\r\n" * 6),
    "spaces": (b"GET ", b" " * 13),
    "chunk extensions": (CHUNKED, b"1;" + b"x" * 200 + b"\r\nx\r\n"),
}


@pytest.mark.parametrize(("start", "line"), REPEATED.values(), ids=REPEATED)
async def test_endlessly_many_lines_are_refused(start: bytes, line: bytes) -> None:
    async with serving() as wire:
        client = await wire.connect()
        await client.send(start + line * (3 * LIMIT // len(line)))
        assert problem(await client.rest())[0] in (400, 414, 431)
        assert wire.closings.reasons


async def test_a_complete_head_that_is_too_long_reaches_no_application() -> None:
    async with serving() as wire:
        client = await wire.connect()
        await client.send(GET + b"X-Long: " + b"x" * LIMIT + b"\r\n\r\n")
        assert problem(await client.rest()) == (431, "request-header-fields-too-large")
        assert wire.scopes == []


HOSTS = {
    "none": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "none in HTTP/1.0": (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200),
    "two": (GET + b"Host: other\r\n\r\n", 400),
    "the same twice": (GET + b"Host: g2d\r\n\r\n", 400),
    "two in HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
}


@pytest.mark.parametrize(("request_", "status"), HOSTS.values(), ids=HOSTS)
async def test_a_request_names_one_host(request_: bytes, status: int) -> None:
    async with serving() as wire:
        client = await wire.connect()
        await client.send(request_)
        if status == 200:
            assert await client.answer() == (200, b"")
        else:
            assert problem(await client.rest()) == (status, "bad-request")
        assert len(wire.scopes) == (status == 200)


async def test_a_second_head_in_one_piece_is_bounded_too() -> None:
    async with serving() as wire:
        client = await wire.connect()
        long = GET + b"X-Long: " + b"x" * LIMIT + b"\r\n\r\n"
        await client.send(GET + b"\r\n" + long)
        await client.rest()
        assert len(wire.scopes) <= 1
        assert wire.closings.reasons == ["long_head"]


async def test_a_head_below_the_limit_is_answered() -> None:
    async with serving() as wire:
        client = await wire.connect()
        for _ in range(3):
            await client.send(GET + b"X-Long: " + b"x" * (LIMIT - 100) + b"\r\n\r\n")
            assert await client.answer() == (200, b"")
        assert wire.closings.reasons == []


async def test_a_body_of_many_tiny_chunks_is_read() -> None:
    async with serving() as wire:
        client = await wire.connect()
        await client.send(CHUNKED + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")
        assert await client.answer() == (200, b"x" * 20_000)
        assert wire.closings.reasons == []


async def test_a_large_body_in_large_chunks_is_read() -> None:
    async with serving() as wire:
        client = await wire.connect()
        chunk = b"%x\r\n%b\r\n" % (300_000, b"x" * 300_000)
        await client.send(CHUNKED + chunk * 3 + b"0\r\n\r\n")
        assert await client.answer() == (200, b"x" * 900_000)


async def test_a_trailer_is_no_header() -> None:
    async with serving() as wire:
        client = await wire.connect()
        await client.send(CHUNKED + b"1\r\nx\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
        assert await client.answer() == (200, b"x")
        assert b"authorization" not in dict(wire.scopes[0]["headers"])


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\x02\x00", b"HELLO\r\n\r\n", GET + b"a b: c\r\n\r\n", CHUNKED + b"zz\r\n"],
)
async def test_what_is_not_http_is_a_problem(data: bytes) -> None:
    async with serving() as wire:
        client = await wire.connect()
        await client.send(data)
        assert problem(await client.rest()) == (400, "bad-request")
        assert wire.closings.reasons == ["not_http"]


async def test_an_upgrade_that_is_not_offered_is_an_ordinary_request() -> None:
    async with serving() as wire:
        client = await wire.connect()
        for _ in range(2):
            await client.send(GET + UPGRADE + b"\r\n")
            assert await client.answer() == (200, b"")


async def test_a_body_behind_an_upgrade_is_not_taken_for_a_request() -> None:
    async with serving() as wire:
        client = await wire.connect()
        inner = b"DELETE /inner HTTP/1.1\r\nHost: g2d\r\n\r\n"
        head = b"POST / HTTP/1.1\r\nHost: g2d\r\nContent-Length: %d\r\n" % len(inner)
        await client.send(head + UPGRADE + b"\r\n" + inner)
        assert problem(await client.rest()) == (400, "bad-request")
        assert wire.scopes == []


async def test_a_response_can_be_cut() -> None:
    async with serving() as wire:
        client = await wire.connect()
        await client.send(b"POST /cut HTTP/1.1\r\nHost: g2d\r\nContent-Length: 2\r\n\r\nab")
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
        assert (head.split()[1], body) == (b"200", b"")


def request_cycles() -> int:
    """Return the number of requests that exist."""
    # Not isinstance, which asks the proxies of other libraries for their class.
    return sum(type(item) is RequestResponseCycle for item in gc.get_objects())


async def test_a_request_does_not_wait_for_the_garbage_collector() -> None:
    gc.collect()
    before = request_cycles()  # of tests that failed, or of other servers
    gc.disable()
    try:
        async with serving() as wire:
            client = await wire.connect()
            for _ in range(3):
                await client.send(GET + b"\r\n")
                assert (await client.answer())[0] == 200
            wire.scopes.clear()
            # The connection keeps its last request until the next.
            assert request_cycles() <= before + 1
    finally:
        gc.enable()


async def test_a_client_that_is_still_sending_reads_its_refusal() -> None:
    async with serving() as wire:
        client: Client = await wire.connect()
        for _ in range(100):
            await client.send(PIECE)
        assert problem(await client.rest())[0] == 400
