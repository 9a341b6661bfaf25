"""HTTP/1.1 of the server, with bounds on everything that arrives before the application sees it.

    bytes --count--> parser --> application
      |  request line, headers, trailers or chunk extensions too long --> 414 | 431
      |  not HTTP                                                     --> 400
      |  a head that does not end in time                             --> 408
      |  no host, or several                                          --> 400
  '  too many connections                                         --> 503

These answers are problems as well. Uvicorn parses and writes; this module counts. The parser keeps
a header until it is complete, however long it is, and tells nothing before.
"""

import asyncio
import uuid
import weakref
from functools import partial
from typing import Any, ClassVar, cast

import httptools
from pydantic_core import to_json
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from service.api.http import problems
from service.api.http.middleware import CUT
from service.api.http.problems import Kind
from service.api.server.connections import Connections, Phase
from service.errors import Overloaded
from service.observability.observer import Observer
from service.settings import Settings

_BODY_HEADERS = {b"content-length", b"transfer-encoding"}
_CHUNK_LINE_BYTES = 32
"""Framing that every chunk of a body may have: its size, extensions and line ends."""
_HEADER_LINE_BYTES = 4
"""Colon, space and line end of a header."""


def protocol_class(settings: Settings, observer: Observer) -> type["LimitedProtocol"]:
    """Return the protocol of all connections of one server, which share their limits."""

    class OfOneServer(LimitedProtocol):
        limits = Connections(settings, observer)

    return OfOneServer


def _cut(cycle: weakref.ref[RequestResponseCycle]) -> None:
    """Close a connection although its response is not whole.

    Args:
        cycle: the request and its response. They hold the scope that holds this call, so that a
            strong reference would keep every request until the garbage collector runs.
    """
    found = cycle()
    if found is not None:
        found.disconnected = True
        found.transport.close()


class _HeadTooLong(Exception):
    """The request line and the headers are longer than allowed."""


class _NotOneHost(Exception):
    """The request names no host, or several (RFC 9112 3.2)."""


class _UpgradeWithBody(Exception):
    """The request has a body, and asks for an upgrade, behind which the parser reads no body."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection.

    Attributes:
        limits: limits that it shares with all others.
        phase: state of the connection.
        since: time of the event loop at which the state began.
        fresh: True until the first request.
        received: bytes of the body that have arrived.
    """

    limits: ClassVar[Connections]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.phase = Phase.IDLE
        self.since = self.loop.time()
        self.fresh = True
        self.received = 0
        self.url = b""
        self._in_head = True
        self._overhead = 0
        self._unsent = 0
        self._unsent_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse the connection if it is one too many."""
        super().connection_made(transport)  # type: ignore[arg-type] # as uvicorn narrows it
        if not self.limits.admit(self, self.loop):
            kind = problems.KINDS[Overloaded]
            self._refuse(kind, "too many connections; retry later", "refused")

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room for another connection."""
        self.limits.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, and count what of it belongs to no body."""
        if self.phase is Phase.LINGERING:
            return
        self._unset_keepalive_if_required()
        if self.phase is Phase.IDLE:
            self._enter(Phase.HEAD)
        self._overhead += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # none is offered, so the request is answered as one without it (RFC 9110 7.8)
        except httptools.HttpParserError as error:
            self._refuse_unparsed(error.__context__)
            return
        if self._overhead > self.limits.max_head_bytes:
            self._refuse_length()

    # Calls of the parser.

    def on_message_begin(self) -> None:
        """Begin to count a head."""
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, but no trailer: the request has been read by then."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request to the application if its head is not too long."""
        length = len(self.url) + sum(
            len(name) + len(value) + _HEADER_LINE_BYTES for name, value in self.headers
        )
        if length > self.limits.max_head_bytes:
            raise _HeadTooLong
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            raise _NotOneHost
        if self.parser.should_upgrade() and _BODY_HEADERS & {name for name, _ in self.headers}:
            raise _UpgradeWithBody
        self._in_head = False
        self._enter(Phase.BODY)
        self.fresh = False
        self.received = 0
        super().on_headers_complete()
        self.scope["extensions"] = {CUT: {"cut": partial(_cut, weakref.ref(self.cycle))}}

    def on_chunk_header(self) -> None:
        """Allow for the framing of one chunk."""
        self._overhead = max(0, self._overhead - _CHUNK_LINE_BYTES)

    def on_body(self, body: bytes) -> None:
        """Take bytes of a body out of the count."""
        self._overhead -= len(body)
        self.received += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Begin a new count."""
        self._overhead = 0
        if self.phase is Phase.BODY:  # otherwise it has been answered, or refused
            self.phase = Phase.REQUEST
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it waits already."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._enter(Phase.IDLE)

    # What the limits ask for.

    def closing(self) -> bool:
        """Return whether the connection is being closed."""
        return self.transport.is_closing()

    def close(self) -> None:
        """Close the connection once everything written to it is sent."""
        self.transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def time_out(self) -> None:
        """Answer a head that is overdue, and close the connection."""
        self._refuse(problems.REQUEST_TIMEOUT, "the header did not arrive in time", None)

    def stalled_s(self, now: float) -> float:
        """Return the seconds since the client last fetched some of what waits for it."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        return now - self._unsent_since

    def _enter(self, phase: Phase) -> None:
        self.phase, self.since = phase, self.loop.time()

    def _refuse_unparsed(self, reason: BaseException | None) -> None:
        if isinstance(reason, _HeadTooLong):
            self._refuse_length()
            return
        detail = "the bytes are not an HTTP/1.1 request"
        if isinstance(reason, _NotOneHost):
            detail = "a request has one header Host"
        if isinstance(reason, _UpgradeWithBody):
            detail = "no upgrade is offered; send the request without the header Upgrade"
        self._refuse(problems.BAD_REQUEST, detail, "not_http")

    def _refuse_length(self) -> None:
        most = self.limits.max_head_bytes
        if self._in_head and not self.headers and 2 * len(self.url) > most:
            self._refuse(
                problems.URI_TOO_LONG, f"a head may have at most {most} bytes", "long_head"
            )
            return
        detail = f"request line, headers and trailers may have at most {most} bytes"
        self._refuse(problems.HEADERS_TOO_LARGE, detail, "long_head")

    def _refuse(self, kind: Kind, detail: str, reason: str | None) -> None:
        """Answer with a problem, and close the connection when the client has had time to read it.

        A connection that is closed while the client still sends is reset, and the answer lost.
        Where an earlier request is being answered, the connection is only closed.
        """
        if reason is not None:
            self.limits.note(reason)
        cycle = cast(RequestResponseCycle | None, self.cycle)  # None before the first request
        started = False
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            started = cycle.response_started
        if self.pipeline or started:
            self.transport.close()
            return
        self.transport.write(self._problem(kind, detail))
        if not self.limits.may_linger():
            self.transport.close()
            return
        self._enter(Phase.LINGERING)
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _problem(self, kind: Kind, detail: str) -> bytes:
        """Return a whole response."""
        request_id = uuid.uuid4().hex
        body = to_json(problems.members_of(kind, detail, request_id))
        headers = [
            *self.server_state.default_headers,
            (b"content-type", problems.MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            (b"x-request-id", request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
        ]
        if kind.status == 503:
            headers.append((b"retry-after", str(problems.RETRY_AFTER_S).encode()))
        lines = [b"%b: %b\r\n" % header for header in headers]
        return b"".join((STATUS_LINE[kind.status], *lines, b"\r\n", body))
