"""Clients that lie, stall, disconnect or come in crowds: none keeps its place."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.builders.service.backends.gate import Gate, build
from tests.builders.service.http.asgi import Exchange
from tests.fixtures.service import Start

FORM = {"content-type": "multipart/form-data; boundary=b"}


def slug(body: bytes) -> str:
    return str(json.loads(body)["type"]).removeprefix("urn:g2d:problem:")


async def until(app: Any, taken: int) -> None:
    """Let the event loop run until a number of places are taken."""
    async with asyncio.timeout(60):
        while app.state.components.admission.active != taken:  # noqa: ASYNC110 - the service has no event for it
            await asyncio.sleep(0)


async def stalled(exchange: Exchange) -> None:
    """Let the event loop run until the application waits for the rest of a body."""
    async with asyncio.timeout(60):
        while exchange.reply.received < 2:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0)


async def test_a_false_content_length_does_not_lift_the_limit(start: Start) -> None:
    async with start(max_body_bytes=10_000) as (app, _):
        chunks = [b"x" * 1000] * 100
        reply = await Exchange(app, "/segment", chunks, {"content-length": "10"}).run()
    assert (reply.status, slug(reply.body)) == (413, "input-too-large")


async def test_a_declared_length_over_the_limit_is_refused_unread(start: Start) -> None:
    async with start(max_body_bytes=10_000) as (app, _):
        headers = {"content-length": "20000", "expect": "100-continue"}
        reply = await Exchange(app, "/segment", [b"x" * 20_000], headers).run()
    assert (reply.status, reply.received) == (413, 0)
    assert reply.headers["connection"] == "close"


async def test_a_client_that_is_still_sending_receives_its_refusal(start: Start) -> None:
    async with start(max_body_bytes=10_000) as (app, _):
        chunks = [b"x" * 1000] * 20
        reply = await Exchange(app, "/segment", chunks, {"content-length": "20000"}).run()
    assert (reply.status, reply.received) == (413, 20)
    assert "connection" not in reply.headers


async def test_a_body_of_many_tiny_chunks_is_read(start: Start, rectangle_dicom: bytes) -> None:
    chunks = [rectangle_dicom[i : i + 1] for i in range(len(rectangle_dicom))]
    async with start() as (app, _):
        reply = await Exchange(app, "/segment", chunks, {"transfer-encoding": "chunked"}).run()
    assert reply.status == 200


async def test_a_body_that_never_ends_is_408(start: Start) -> None:
    async with start(body_timeout_s=0.05) as (app, _):
        exchange = Exchange(app, "/segment", [b"x"], {"content-length": "9"}, ends=False)
        asyncio.get_running_loop().call_later(0.2, exchange.leave.set)
        reply = await exchange.run()
        assert app.state.components.admission.active == 0
    assert (reply.status, slug(reply.body)) == (408, "body-timeout")


async def test_a_body_that_is_late_is_408_and_not_a_late_answer(start: Start) -> None:
    async with start(body_timeout_s=60, request_timeout_s=0.05) as (app, _):
        exchange = Exchange(app, "/segment", [b"x"], {"content-length": "9"}, ends=False)
        asyncio.get_running_loop().call_later(0.2, exchange.leave.set)
        reply = await exchange.run()
    assert (reply.status, slug(reply.body)) == (408, "body-timeout")


async def test_a_slow_upload_takes_no_place(start: Start, rectangle_dicom: bytes) -> None:
    async with start(workers=1, waiting=0) as (app, _):
        slow = Exchange(app, "/segment", [b"x"], {"content-length": "9"}, ends=False)
        sending = asyncio.create_task(slow.run())
        await stalled(slow)
        reply = await Exchange(app, "/segment", [rectangle_dicom]).run()
        slow.leave.set()
        assert (reply.status, (await sending).status) == (200, 499)


async def test_more_bodies_than_fit_into_memory_are_503(
    start: Start, rectangle_dicom: bytes
) -> None:
    size = len(rectangle_dicom)
    async with start(max_body_bytes=size, max_buffered_bytes=size) as (app, _):
        slow = Exchange(app, "/segment", [b"x"], {"content-length": "9"}, ends=False)
        sending = asyncio.create_task(slow.run())
        await stalled(slow)
        refused = await Exchange(app, "/segment", [rectangle_dicom]).run()
        slow.leave.set()
        await sending
        later = await Exchange(app, "/segment", [rectangle_dicom]).run()
    assert (refused.status, slug(refused.body), later.status) == (503, "overloaded", 200)


async def test_a_client_that_disconnects_while_it_sends_takes_no_place(start: Start) -> None:
    async with start() as (app, _):
        exchange = Exchange(app, "/segment", [b"x"], {"content-length": "9"}, ends=False)
        exchange.leave.set()
        reply = await exchange.run()
        assert app.state.components.admission.active == 0
    assert reply.status == 499


async def test_a_waiting_client_that_disconnects_causes_no_inference(
    start: Start, rectangle_dicom: bytes, gates: list[Gate]
) -> None:
    async with start(build(gates), workers=1, waiting=1) as (app, _):
        gates[0].shut()
        first = asyncio.create_task(Exchange(app, "/segment", [rectangle_dicom]).run())
        await gates[0].reached()
        second = Exchange(app, "/segment", [rectangle_dicom])
        waiting = asyncio.create_task(second.run())
        second.leave.set()
        assert (await waiting).status == 499
        await until(app, taken=1)
        gates[0].open.set()
        assert (await first).status == 200
        assert gates[0].calls == 1


async def test_work_for_a_client_that_disconnected_keeps_its_place_until_it_stops(
    start: Start, rectangle_dicom: bytes, gates: list[Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(build(gates), workers=1, waiting=0) as (app, _):
        gates[0].shut()
        monkeypatch.setattr(gates[0], "head", lambda *_: pytest.fail("went on"))
        exchange = Exchange(app, "/segment", [rectangle_dicom])
        running = asyncio.create_task(exchange.run())
        await gates[0].reached()
        exchange.leave.set()
        assert (await running).status == 499
        assert app.state.components.admission.active == 1
        gates[0].open.set()
        await until(app, taken=0)


async def test_requests_beyond_the_places_get_503_at_once(
    start: Start, rectangle_dicom: bytes, gates: list[Gate]
) -> None:
    async with start(build(gates), workers=1, waiting=1) as (app, client):
        gates[0].shut()
        inside = [
            asyncio.create_task(Exchange(app, "/segment", [rectangle_dicom]).run())
            for _ in range(2)
        ]
        await gates[0].reached()
        refused = await Exchange(app, "/segment", [rectangle_dicom]).run()
        assert (refused.status, slug(refused.body)) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        alive = await client.get("/health/live")  # the event loop is free meanwhile
        assert alive.status_code == 200
        gates[0].open.set()
        assert [(await task).status for task in inside] == [200, 200]
        await until(app, taken=0)


async def test_a_hundred_clients_that_disconnect_cause_no_inference_and_free_their_places(
    start: Start, rectangle_dicom: bytes, gates: list[Gate]
) -> None:
    async with start(build(gates), workers=1, waiting=101) as (app, client):
        gates[0].shut()
        first = asyncio.create_task(Exchange(app, "/segment", [rectangle_dicom]).run())
        await gates[0].reached()
        leaving = [Exchange(app, "/segment", [rectangle_dicom]) for _ in range(100)]
        tasks = [asyncio.create_task(exchange.run()) for exchange in leaving]
        await until(app, taken=101)
        for exchange in leaving:
            exchange.leave.set()
        assert {reply.status for reply in await asyncio.gather(*tasks)} == {499}
        await until(app, taken=1)
        gates[0].open.set()
        assert (await first).status == 200
        assert gates[0].calls == 1
        assert (await client.get("/health/ready")).status_code == 200


async def test_a_request_that_would_miss_its_deadline_is_refused_unread(
    start: Start, rectangle_dicom: bytes, gates: list[Gate]
) -> None:
    async with start(build(gates), workers=1, waiting=10) as (app, _):
        gates[0].shut()
        inside = asyncio.create_task(Exchange(app, "/segment", [rectangle_dicom]).run())
        await gates[0].reached()
        app.state.components.admission.throughput.record(started=0, completed=6.5)
        headers = {"x-request-timeout": "5", "expect": "100-continue", "content-length": "9"}
        reply = await Exchange(app, "/segment", [rectangle_dicom], headers).run()
        assert (reply.status, slug(reply.body), reply.received) == (503, "overloaded", 0)
        assert reply.headers["retry-after"] == "2"
        gates[0].open.set()
        assert (await inside).status == 200


async def test_an_answer_after_the_deadline_is_504(
    start: Start, rectangle_dicom: bytes, gates: list[Gate]
) -> None:
    async with start(build(gates), workers=1) as (app, _):
        gates[0].shut()
        headers = {"x-request-timeout": "0.3"}
        reply = await Exchange(app, "/segment", [rectangle_dicom], headers).run()
        assert (reply.status, slug(reply.body)) == (504, "deadline-exceeded")
        gates[0].open.set()
        await until(app, taken=0)


async def test_answers_are_not_mixed_up_between_requests(
    client: httpx.AsyncClient, rectangle_dicom: bytes
) -> None:
    ids = [f"request-{number}" for number in range(12)]
    headers = {"content-type": "application/dicom"}
    replies = await asyncio.gather(
        *(
            client.post(
                f"/ground?phrase={'bright' if number % 2 else 'dark'}",
                content=rectangle_dicom,
                headers=headers | {"x-request-id": request_id},
            )
            for number, request_id in enumerate(ids)
        )
    )
    for number, (request_id, reply) in enumerate(zip(ids, replies, strict=True)):
        answer = reply.json()
        assert answer["request_id"] == reply.headers["x-request-id"] == request_id
        assert answer["phrases"][0]["phrase"] == ("bright" if number % 2 else "dark")


FORMS = {
    "no boundary": ({"content-type": "multipart/form-data"}, b"--b--\r\n"),
    "endless boundary": ({"content-type": f"multipart/form-data; boundary={'b' * 500}"}, b""),
    "empty": (FORM, b""),
    "not a form": (FORM, b"hello"),
    "no parts": (FORM, b"--b--\r\n"),
    "no file": (
        FORM,
        b'--b\r\nContent-Disposition: form-data; name="phrase"\r\n\r\nx\r\n--b--\r\n',
    ),
    "no disposition": (FORM, b"--b\r\n\r\nx\r\n--b--\r\n"),
    "no headers end": (FORM, b"--b\r\nContent-Disposition: form-data"),
    "cut short": (FORM, b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nDICM'),
    "unknown part": (
        FORM,
        b'--b\r\nContent-Disposition: form-data; name="path"\r\n\r\n/etc\r\n--b--\r\n',
    ),
    "two files": (
        FORM,
        b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n' * 2 + b"--b--\r\n",
    ),
    "many headers": (FORM, b"--b\r\n" + b"X: y\r\n" * 1000 + b"\r\nx\r\n--b--\r\n"),
    "long header": (FORM, b"--b\r\nX: " + b"y" * 100_000 + b"\r\n\r\nx\r\n--b--\r\n"),
    "ten thousand parts": (
        FORM,
        b'--b\r\nContent-Disposition: form-data; name="phrase"\r\n\r\nx\r\n' * 10_000
        + b"--b--\r\n",
    ),
    "ten thousand files": (
        FORM,
        b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n' * 10_000 + b"--b--\r\n",
    ),
    "headers without end": (FORM, b"--b\r\n" + b"X: y\r\n" * 100_000),
    "header without colon": (FORM, b"--b\r\nContent-Disposition form-data\r\n\r\nx\r\n--b--\r\n"),
    "lone line feeds": (
        FORM,
        b'--b\nContent-Disposition: form-data; name="file"\n\nx\n--b--\n',
    ),
    "another boundary": (
        FORM,
        b'--c\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--c--\r\n',
    ),
    "boundaries only": (FORM, b"--b\r\n" * 50_000),
    "a phrase that is not UTF-8": (
        FORM,
        b'--b\r\nContent-Disposition: form-data; name="phrase"\r\n\r\n\xff\xfe\r\n--b--\r\n',
    ),
}


@pytest.mark.parametrize(("headers", "body"), FORMS.values(), ids=FORMS)
async def test_a_malformed_form_is_a_4xx(
    client: httpx.AsyncClient, headers: dict[str, str], body: bytes
) -> None:
    response = await client.post("/ground", content=body, headers=headers)
    assert 400 <= response.status_code < 500, response.text
    assert response.headers["content-type"] == "application/problem+json"
