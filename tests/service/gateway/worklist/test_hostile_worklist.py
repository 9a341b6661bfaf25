"""A worklist is not trusted: it cannot make the gateway ask others, wait, grow or stop."""

import asyncio
import gzip
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest
from flask import Response as FlaskResponse
from starlette.responses import RedirectResponse, Response, StreamingResponse

from service.gateway.gateway import Gateway
from service.gateway.storage.workitems import Workitems
from service.gateway.worklist.events import EventChannel
from service.observability.metrics.gateway_metrics import GatewayMetrics
from tests.builders.dicomweb.server import DicomwebServer
from tests.builders.gateway import running
from tests.builders.gateway.archive import Archive
from tests.builders.gateway.radiographs import ROOT
from tests.builders.gateway.worklist_server import WorklistServer, element, input_item
from tests.service.gateway.worklist.conftest import Configure
from tests.service.gateway.worklist.test_performer import (
    ITEM,
    radiograph_of,
    reason,
    results_of,
    wait_for_state,
)

BAD = "1.2.3.666"
JSON = "application/dicom+json"


@contextmanager
def decoy() -> Iterator[tuple[str, list[str]]]:
    """Run a server that nobody may ask; yield its address and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        do_POST = do_PUT = do_GET  # noqa: N815 - http.server asks for these names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield b"[" * 65536
        await asyncio.sleep(0)  # let the server notice that the connection was closed


async def _dripping() -> AsyncIterator[bytes]:
    while True:
        yield b" "
        await asyncio.sleep(0.05)


DEEP = b"[" * 100_000 + b"]" * 100_000
ANSWERS: dict[str, Callable[[], Response]] = {
    "redirect": lambda: RedirectResponse("http://127.0.0.1:1/ups/workitems"),
    "endless": lambda: StreamingResponse(_endless(), media_type=JSON),
    "dripping": lambda: StreamingResponse(_dripping(), media_type=JSON),
    "deep": lambda: Response(DEEP, media_type=JSON),
    "truncated": lambda: Response(b'[{"00080018": {"vr"', media_type=JSON),
    "digits": lambda: Response(b"9" * 100_000, media_type=JSON),
    "not-utf-8": lambda: Response(b'["\xff\xfe"]', media_type=JSON),
    "html": lambda: Response("<html>login</html>", media_type="text/html"),
    "compressed": lambda: Response(
        gzip.compress(b"[]"), media_type=JSON, headers={"content-encoding": "gzip"}
    ),
    "number": lambda: Response(b"7", media_type=JSON),
    "empty": lambda: Response(b"", media_type=JSON),
    "teapot": lambda: Response(status_code=418),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_bad_workitem_does_not_stop_a_good_one(
    configure: Configure, worklist: WorklistServer, pacs: Archive, kind: str
) -> None:
    worklist.schedule(BAD, radiograph_of(2))
    worklist.schedule(ITEM, radiograph_of(1))
    worklist.before = lambda method, path: ANSWERS[kind]() if path.endswith(BAD) else None
    with running.running(configure(timeout_s=2.0)):
        wait_for_state(worklist, "COMPLETED")
    assert worklist.state(BAD) == "SCHEDULED"
    assert pacs.stored == results_of(1)


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_bad_search_is_survived(
    configure: Configure, worklist: WorklistServer, kind: str
) -> None:
    worklist.schedule(ITEM, radiograph_of(1))
    bad = [ANSWERS[kind]]
    worklist.before = lambda _, path: bad.pop()() if path.endswith("/workitems") and bad else None
    with running.running(configure(timeout_s=2.0)):
        wait_for_state(worklist, "COMPLETED")


ROWS: list[Any] = [
    None,
    7,
    "text",
    [],
    {},
    {"00080018": None},
    {"00080018": {"vr": "UI", "Value": "1.2"}},
    {"00080018": {"vr": "UI", "Value": [{"1.2": 3}]}},
    {"00080018": {"vr": "UI", "Value": ["../../admin"]}},
    {"00080018": {"vr": "UI", "Value": ["1.2/state"]}},
    {"00080018": {"vr": "UI", "Value": ["1." * 100 + "1"]}},
    {"00080018": {"vr": "UI", "Value": ["\u0661.\u0662"]}},
]


def test_rows_that_name_no_workitem_are_passed_over(
    configure: Configure, worklist: WorklistServer
) -> None:
    worklist.schedule(ITEM, radiograph_of(1))
    good = {"00080018": element("UI", ITEM)}
    rows = json.dumps([*ROWS, good])
    worklist.before = lambda _, path: (
        Response(rows, media_type=JSON) if path.endswith("/workitems") else None
    )
    with running.running(configure()) as gateway:
        wait_for_state(worklist, "COMPLETED")
        assert events(gateway, "malformed") >= 1
    asked = {path for _, path in worklist.requests if not path.startswith(f"/workitems/{ITEM}")}
    assert asked == {"/workitems"}


def events(gateway: Gateway, outcome: str) -> float:
    labels = {"worklist": "hospital", "outcome": outcome}
    found = gateway.metrics.registry.get_sample_value("g2d_gateway_workitem_events_total", labels)
    return found or 0.0


def test_addresses_outside_of_the_allow_list_are_never_asked(
    configure: Configure, worklist: WorklistServer, sources: DicomwebServer
) -> None:
    with decoy() as (url, asked):
        path = f"/studies/{ROOT}.2.1/series/{ROOT}.3.1/instances/{ROOT}.1.1"
        host = sources.url.removeprefix("http://")
        addresses = {
            "1.2.4.1": f"{url}{path}",
            "1.2.4.2": f"{url}/dicom-web{path}",
            "1.2.4.3": f"http://{host}@{url.removeprefix('http://')}{path}",
            "1.2.4.4": f"{sources.url}.example.org{path}",
            "1.2.4.5": f"{sources.url}/../admin{path}",
            "1.2.4.6": "file:///etc/passwd",
            "1.2.4.7": f"{sources.url}{path}?redirect={url}",
            "1.2.4.8": f"{sources.url}{path}#{url}",
        }
        for uid, address in addresses.items():
            worklist.schedule(uid, radiograph_of(1, address))
        with running.running(configure(workitems=8)):
            wait_for_state(worklist, "CANCELED", *addresses)
        assert asked == []
    assert sources.requests == []
    assert {reason(worklist, uid)[0] for uid in addresses} == {"110523"}


def test_an_address_of_another_study_is_refused(
    configure: Configure, worklist: WorklistServer, sources: DicomwebServer
) -> None:
    worklist.schedule(ITEM, radiograph_of(1, f"{sources.url}/studies/{ROOT}.2.2"))
    with running.running(configure()):
        wait_for_state(worklist, "CANCELED")
    assert reason(worklist)[0] == "110521"
    assert sources.requests == []


def test_a_redirect_of_the_server_of_the_inputs_is_not_followed(
    configure: Configure, worklist: WorklistServer, sources: DicomwebServer
) -> None:
    worklist.schedule(ITEM, radiograph_of(1))
    retry = {"first_s": 0.01, "longest_s": 0.02, "attempts": 3, "refusals": 3}
    with decoy() as (url, asked):
        sources.answer = lambda _: FlaskResponse(status=302, headers={"location": url})
        with running.running(configure(retry=retry)):
            wait_for_state(worklist, "CANCELED")
        assert asked == []
    assert reason(worklist) == ("110523", "The inputs could not be retrieved.")


INPUTS: dict[str, tuple[Any, str]] = {
    "none": ({"vr": "SQ"}, "110523"),
    "text": ({"vr": "SQ", "Value": "1.2.3"}, "110523"),
    "numbers": (element("SQ", 1, 2, 3), "110521"),
    "no-study": (element("SQ", {"0040E020": element("CS", "DICOM")}), "110521"),
    "path": (element("SQ", input_item("1.2/../../admin")), "110521"),
    "instance-without-series": (element("SQ", input_item("1.2", None, "1.3")), "110521"),
    "document": (
        element("SQ", input_item("1.2") | {"0040E020": element("CS", "CDA")}),
        "110522",
    ),
    "many": (element("SQ", *(input_item(f"1.2.{number}") for number in range(9))), "110522"),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_inputs_that_cannot_be_used_cancel_the_workitem(
    configure: Configure, worklist: WorklistServer, sources: DicomwebServer, kind: str
) -> None:
    inputs, code = INPUTS[kind]
    worklist.schedule(ITEM, t00404021=inputs)
    with running.running(configure(max_instances=8)):
        wait_for_state(worklist, "CANCELED")
    assert reason(worklist)[0] == code
    assert sources.requests == []


def test_more_instances_than_allowed_are_not_retrieved(
    configure: Configure, worklist: WorklistServer, sources: DicomwebServer
) -> None:
    for number in range(20):
        sources.instances[(f"{ROOT}.2.9", f"{ROOT}.3.9", f"{ROOT}.1.9{number}")] = b""
    worklist.schedule(ITEM, input_item(f"{ROOT}.2.9"))
    with running.running(configure(max_instances=8)):
        wait_for_state(worklist, "CANCELED")
    assert reason(worklist)[0] == "110522"
    assert not any("/instances/" in path for path in sources.requests)


def test_messages_on_the_channel_are_not_trusted(
    configure: Configure, worklist: WorklistServer
) -> None:
    with running.running(configure(events=True)) as gateway:
        worklist.before = lambda method, _: (
            Response(status_code=503) if method == "GET" and worklist.channels else None
        )
        worklist.schedule(ITEM, radiograph_of(1))
        running.wait_until(lambda: bool(worklist.channels))
        for text in ("[", DEEP[:20_000].decode(), "7", "{}", '{"00001002": {"Value": 2}}'):
            worklist.tell(text)
        worklist.tell(json.dumps({"00001002": element("US", 2), "00001000": element("UI", 7)}))
        running.wait_until(lambda: events(gateway, "malformed") >= 1)
        worklist.tell("x" * 100_000)  # longer than a message may be: the channel is closed
        time.sleep(0.05)
        worklist.before = lambda *_: None
        wait_for_state(worklist, "COMPLETED")


@pytest.mark.parametrize("address", ["ws://[::1", "ws://[x]/y", "ws://", "file:///etc/passwd", ""])
def test_an_address_that_is_none_is_not_taken_for_the_channel(
    configure: Configure, address: str
) -> None:
    (named,) = configure(events=True).worklists
    channel = EventChannel(named, "G2D", cast(Workitems, None), GatewayMetrics())
    channel.subscribed(address)
    assert channel._address == channel._default


def test_a_channel_on_another_host_is_not_opened(
    configure: Configure, worklist: WorklistServer
) -> None:
    worklist.schedule(ITEM, radiograph_of(1))
    with decoy() as (url, asked):
        worklist.before = lambda method, path: (
            Response(status_code=201, headers={"content-location": f"{url}/subscribers/G2D"})
            if "/subscribers/" in path and method == "POST"
            else None
        )
        with running.running(configure(events=True)):
            wait_for_state(worklist, "COMPLETED")
            running.wait_until(lambda: bool(worklist.channels))
        assert asked == []
