"""UPS-RS worklist of a test: an origin server of PS3.18 chapter 11 that is strict about each rule.

    state machine and Transaction UID    PS3.4 table CC.1.1-2
    what a final state requires          PS3.4 table CC.2.5-3
    status codes and warnings            PS3.18 sections 11.4 to 11.14

Whatever a performer does against the standard is refused, and also noted in `violations`. Servers
differ in the status for a Transaction UID that is not that of the claim: PS3.18 section 11.7.3.1
has 400, others answer 409. A test chooses.
"""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.builders.gateway.ports import free_port

STATION = {"value": "G2D-1", "scheme": "99TEST", "meaning": "Radiograph service"}
PROCEDURE = {"value": "CXR-AI", "scheme": "99TEST", "meaning": "Analysis of a chest radiograph"}

_JSON = "application/dicom+json"
_STATE, _TRANSACTION, _UID = "00741000", "00081195", "00080018"
_PROGRESS, _PERFORMED = "00741002", "00741216"
_KNOWN_KEYS = {_STATE, "00404025.00080100", "includefield", "limit", "offset"}
_COMPLETED_NEEDS = ("00404028", "00404050", "00404019", "00404051", "00404033")
"""Performed station, start, workitem code, end, outputs."""
_CANCELED_NEEDS = ("00404052", "0074100E")
"""Procedure Step Cancellation DateTime, Procedure Step Discontinuation Reason Code Sequence."""

DataSet = dict[str, Any]
Hook = Callable[[str, str], Response | None]
"""Takes method and path; returns an answer in place of the usual one, or None."""


def element(vr: str, *values: object) -> DataSet:
    """Return an element of the DICOM JSON Model."""
    return {"vr": vr, "Value": list(values)}


def coded(code: dict[str, str]) -> DataSet:
    """Return a code sequence with one item."""
    item = {
        "00080100": element("SH", code["value"]),
        "00080102": element("SH", code["scheme"]),
        "00080104": element("LO", code["meaning"]),
    }
    return element("SQ", item)


def input_item(
    study: str, series: str | None = None, instance: str | None = None, url: str | None = None
) -> DataSet:
    """Return an item of Input Information Sequence."""
    item = {"0040E020": element("CS", "DICOM"), "0020000D": element("UI", study)}
    if series is not None:
        item["0020000E"] = element("UI", series)
    if instance is not None:
        reference = {
            "00081150": element("UI", "1.2.840.10008.5.1.4.1.1.1"),
            "00081155": element("UI", instance),
        }
        item["00081199"] = element("SQ", reference)
    if url is not None:
        item["0040E025"] = element("SQ", {"00081190": element("UR", url)})
    return item


@dataclass
class WorklistServer:
    """State of one worklist, which a test may change at any time.

    Attributes:
        url: address of its services.
        incorrect: status for a Transaction UID that is not that of the claim.
        workitems: each workitem by its UID.
        transactions: Transaction UID of each claim.
        history: for each workitem, its states and the percentages that were reported, in order.
        requests: method and path of every request.
        violations: requests that the standard forbids a performer in any case.
        before: answers in place of the server, which then does nothing.
        after: answers in place of the server, which has done what was asked.
        authorizations: header Authorization of each request.
        subscribers: AE titles that subscribed, by workitem.
    """

    url: str = ""
    incorrect: int = 400
    workitems: dict[str, DataSet] = field(default_factory=dict)
    transactions: dict[str, str] = field(default_factory=dict)
    history: dict[str, list[str]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    before: Hook = lambda *_: None
    after: Hook = lambda *_: None
    authorizations: list[str | None] = field(default_factory=list)
    subscribers: dict[str, set[str]] = field(default_factory=dict)
    channels: dict[str, WebSocket] = field(default_factory=dict)
    loop: asyncio.AbstractEventLoop | None = None

    def schedule(self, uid: str, *inputs: DataSet, **replaced: Any) -> None:
        """Create a workitem; `t00741200` and such replace elements, None removes one."""
        made: DataSet = {
            "00080016": element("UI", "1.2.840.10008.5.1.4.34.6.1"),
            _UID: element("UI", uid),
            _STATE: element("CS", "SCHEDULED"),
            "00404025": coded(STATION),
            "00404018": coded(PROCEDURE),
            "00404041": element("CS", "READY"),
            "00741200": element("CS", "MEDIUM"),
            "00404005": element("DT", "20261201080000"),
            "00404021": element("SQ", *inputs),
            _PROGRESS: {"vr": "SQ"},
            _PERFORMED: {"vr": "SQ"},
        }
        for key, value in replaced.items():
            made[key.removeprefix("t")] = value
        self.history[uid] = ["SCHEDULED"]
        self.workitems[uid] = {tag: value for tag, value in made.items() if value is not None}

    def state(self, uid: str) -> str:
        """Return the state of a workitem."""
        return str(self.workitems[uid][_STATE]["Value"][0])

    def set_state(self, uid: str, state: str, transaction: str = "1.2.3") -> None:
        """Change a state as the worklist itself, or another performer, does."""
        self.workitems[uid][_STATE] = element("CS", state)
        self.history[uid].append(state)
        if state == "IN PROGRESS":
            self.transactions[uid] = transaction

    def performed(self, uid: str) -> DataSet:
        """Return the item of what was performed."""
        (item,) = self.workitems[uid][_PERFORMED]["Value"]
        return dict(item)

    def progress(self, uid: str) -> DataSet:
        """Return the item of the progress."""
        (item,) = self.workitems[uid][_PROGRESS]["Value"]
        return dict(item)

    def request_cancel(self, uid: str) -> int:
        """Ask the performer for the cancellation, as POST /workitems/UID/cancelrequest does."""
        listening = [name for name in self.subscribers.get(uid, ()) if name in self.channels]
        if not listening or self.loop is None:
            return 409  # the performer cannot be contacted
        event = {
            "00000002": element("UI", "1.2.840.10008.5.1.4.34.6.4"),
            "00001000": element("UI", uid),
            "00001002": element("US", 2),
            "00741238": element("LT", "The patient left."),
        }
        for name in listening:
            sending = self.channels[name].send_text(json.dumps(event))
            asyncio.run_coroutine_threadsafe(sending, self.loop).result(5)
        return 202

    def tell(self, text: str) -> None:
        """Send a message on every channel."""
        for channel in list(self.channels.values()):
            assert self.loop is not None
            asyncio.run_coroutine_threadsafe(channel.send_text(text), self.loop).result(5)

    def break_channels(self) -> None:
        """Close every channel."""
        for name in list(self.channels):
            channel = self.channels.pop(name)
            assert self.loop is not None
            asyncio.run_coroutine_threadsafe(channel.close(), self.loop).result(5)

    def answer_search(self, request: Request) -> Response:
        """Search (11.9)."""
        query = request.query_params
        if unknown := set(query) - _KNOWN_KEYS:
            self.violations.append(f"unknown keys {unknown}")
            return Response(status_code=400)
        state, station = query.get(_STATE), query.get("00404025.00080100")
        found = [
            {tag: one[tag] for tag in (_UID, _STATE, "00404025", "00404018") if tag in one}
            for one in self.workitems.values()
            if state in (None, one[_STATE]["Value"][0])
            and station in (None, *_values(one, "00404025", "00080100"))
        ]
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", 100))
        page = found[offset : offset + limit]
        return JSONResponse(page, media_type=_JSON) if page else Response(status_code=204)

    def change_state(self, uid: str, changes: DataSet) -> Response:
        """Change Workitem State (11.7)."""
        state, transaction = _first(changes, _STATE), _first(changes, _TRANSACTION)
        if transaction is None or state not in ("IN PROGRESS", "COMPLETED", "CANCELED"):
            self.violations.append("no transaction or state")
            return _warning(400, "The Transaction UID is missing.")
        now = self.state(uid)
        if now == state and state != "IN PROGRESS":
            return _warning(200, f"The UPS is already in the requested state of {state}.")
        if (now, state) == ("SCHEDULED", "IN PROGRESS"):
            self.set_state(uid, state, transaction)
            return Response()
        if now != "IN PROGRESS" or state == "IN PROGRESS":
            return _warning(409, "The submitted request is inconsistent with the state.")
        if transaction != self.transactions[uid]:
            return _warning(self.incorrect, "The Transaction UID is incorrect.")
        if missing := self._missing(uid, state):
            self.violations.append(f"{state} without {missing}")
            return _warning(409, "The final state requirements are not met.")
        self.set_state(uid, state)
        return Response()

    def _missing(self, uid: str, state: str) -> list[str]:
        """Return what a final state requires and the workitem does not have."""
        tag, needed = (
            (_PERFORMED, _COMPLETED_NEEDS) if state == "COMPLETED" else (_PROGRESS, _CANCELED_NEEDS)
        )
        items = self.workitems[uid][tag].get("Value", [])
        has = items[0] if len(items) == 1 else {}
        empty = [tag for tag in needed if tag != "00404033" and not has.get(tag, {}).get("Value")]
        return [tag for tag in needed if tag not in has] + empty

    def update(self, uid: str, changes: DataSet, queried: str) -> Response:
        """Update Workitem (11.6)."""
        transaction = _first(changes, _TRANSACTION)
        if _STATE in changes or transaction != queried:
            self.violations.append("update of the state, or two transactions")
            return Response(status_code=400)
        if self.state(uid) != "IN PROGRESS":
            return _warning(409, "The submitted request is inconsistent with the state.")
        if transaction != self.transactions[uid]:
            return _warning(self.incorrect, "The Transaction UID is incorrect.")
        self.workitems[uid] |= {tag: one for tag, one in changes.items() if tag != _TRANSACTION}
        for percent in _values(changes, _PROGRESS, "00741004"):
            self.history[uid].append(percent)
        return Response()


def _values(data_set: DataSet, sequence: str, tag: str) -> list[str]:
    items = data_set.get(sequence, {}).get("Value", [])
    return [value for item in items for value in item.get(tag, {}).get("Value", [])]


def _first(data_set: DataSet, tag: str) -> str | None:
    values = data_set.get(tag, {}).get("Value", [])
    return values[0] if values else None


def _warning(status: int, text: str) -> Response:
    return Response(status_code=status, headers={"warning": f"299 worklist: {text}"})


def _application(server: WorklistServer) -> Starlette:
    async def workitem(request: Request) -> Response:
        uid = request.path_params["uid"]
        if uid not in server.workitems:
            return Response(status_code=404)
        if request.method == "GET":
            return JSONResponse([server.workitems[uid]], media_type=_JSON)
        changes = await _changes(server, request)
        if changes is None:
            return Response(status_code=415)
        if request.url.path.endswith("/state"):
            return server.change_state(uid, changes)
        return server.update(uid, changes, request.url.query)

    async def search(request: Request) -> Response:
        return server.answer_search(request)

    async def subscribe(request: Request) -> Response:
        uid, name = request.path_params["uid"], request.path_params["name"]
        server.subscribers.setdefault(uid, set()).add(name)
        channel = f"ws{server.url.removeprefix('http')}/subscribers/{name}"
        return Response(status_code=201, headers={"content-location": channel})

    async def channel(socket: WebSocket) -> None:
        await socket.accept()
        server.loop = asyncio.get_running_loop()
        server.channels[socket.path_params["name"]] = socket
        try:
            while True:
                await socket.receive_text()
        except (WebSocketDisconnect, RuntimeError):  # by the performer, or by this server
            if server.channels.get(socket.path_params["name"]) is socket:
                del server.channels[socket.path_params["name"]]

    def hooked(endpoint: Callable[[Request], Awaitable[Response]]) -> Any:
        async def answer(request: Request) -> Response:
            server.requests.append((request.method, request.url.path.removeprefix("/ups")))
            server.authorizations.append(request.headers.get("authorization"))
            given = server.before(request.method, request.url.path)
            if given is not None:
                return given
            usual = await endpoint(request)
            return server.after(request.method, request.url.path) or usual

        return answer

    return Starlette(
        routes=[
            Route("/ups/workitems", hooked(search)),
            Route("/ups/workitems/{uid}", hooked(workitem), methods=["GET", "POST"]),
            Route("/ups/workitems/{uid}/state", hooked(workitem), methods=["PUT"]),
            Route("/ups/workitems/{uid}/subscribers/{name}", hooked(subscribe), methods=["POST"]),
            WebSocketRoute("/ups/subscribers/{name}", channel),
        ]
    )


async def _changes(server: WorklistServer, request: Request) -> DataSet | None:
    """Return the data set of a payload, or None for one of another media type."""
    if request.headers.get("content-type") != _JSON:
        server.violations.append("content type")
        return None
    found = await request.json()
    (changes,) = found if isinstance(found, list) else [found]
    return dict(changes)


@contextmanager
def worklist_server(port: int | None = None) -> Iterator[WorklistServer]:
    """Run a worklist until the end of the context."""
    state = WorklistServer()
    port = free_port() if port is None else port
    state.url = f"http://127.0.0.1:{port}/ups"
    config = uvicorn.Config(
        _application(state),
        host="127.0.0.1",
        port=port,
        log_config=None,  # the loggers stay as other tests want them
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    due = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < due
        time.sleep(0.01)
    try:
        yield state
    finally:
        server.should_exit = True
        thread.join(10)
