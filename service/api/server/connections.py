"""Connections of the server: how many there may be, and how long each may be silent.

    new connection --beyond the limit--> the one that has waited longest for a request closes,
                                         or the one with the slowest body, or else the new one
    every second   --handshake or head overdue, answer not fetched--> closes
                   --> one log line for all that were closed, metrics

The operating system grants a process a number of open files. Without a limit below it, silent
connections would take them all, and neither clients nor decoders nor models would get one.
"""

import asyncio
import logging
from collections import Counter
from enum import StrEnum
from typing import Protocol

from service.host import most_connections
from service.observability.observer import Observer
from service.settings import Settings

logger = logging.getLogger("g2d.connections")

_SWEEP_S = 1.0
_LOG_S = 10.0
_MAX_LINGERING = 64


class Phase(StrEnum):
    """State of a connection between two requests, or within one."""

    HANDSHAKE = "handshake"
    """The connection is not encrypted yet."""
    IDLE = "idle"
    """Nothing of a request has arrived."""
    HEAD = "head"
    """A part of the request line and the headers has arrived."""
    BODY = "body"
    """The body of a request arrives."""
    REQUEST = "request"
    """The application answers a request that has arrived."""
    LINGERING = "lingering"
    """The connection was refused, and waits for the client to read why."""


_WAITING = (Phase.HANDSHAKE, Phase.IDLE, Phase.HEAD)
"""States in which a connection asks for nothing yet."""


class Connection(Protocol):
    """One connection, as its limits see it.

    Attributes:
        phase: state of the connection.
        since: time of the event loop at which the state began.
        fresh: True until the first request.
        received: bytes of the body that have arrived.
    """

    phase: Phase
    since: float
    fresh: bool
    received: int

    def closing(self) -> bool:
        """Return whether the connection is being closed."""

    def close(self) -> None:
        """Close the connection once everything written to it is sent."""

    def abort(self) -> None:
        """Close the connection at once."""

    def time_out(self) -> None:
        """Answer a head that is overdue, and close the connection."""

    def stalled_s(self, now: float) -> float:
        """Return the seconds since the client last fetched some of what waits for it."""


class Connections:
    """All connections of one server, in its event loop.

    Args:
        settings: limits on connections.
        observer: is told of every connection that is closed by a limit.
    """

    def __init__(self, settings: Settings, observer: Observer) -> None:
        self.max_head_bytes = settings.server.max_header_bytes
        self._most = min(settings.server.connections, most_connections())
        self.head_s = settings.server.header_timeout_s
        self._fetch_s = settings.limits.body_timeout_s
        self._observer = observer
        self._open: dict[Connection, None] = {}  # oldest first: the clock of a loop is coarse
        self._lingering = 0
        self._closed: Counter[str] = Counter()
        self._logged = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def admit(self, new: Connection, loop: asyncio.AbstractEventLoop) -> bool:
        """Take up a new connection, at the expense of another one if there are too many.

        Returns:
            False if it is one too many.
        """
        self._open[new] = None
        if self._timer is None:
            self._timer = loop.call_later(_SWEEP_S, self._tick, loop)
        if len(self._open) - self._lingering <= self._most:
            return True
        displaced = self._displaceable(new, loop.time())
        if displaced is None:
            return False
        self.note("displaced")
        displaced.abort()
        return True

    def _displaceable(self, new: Connection, now: float) -> Connection | None:
        """Return the connection that matters least: one that waits, or else the slowest body."""
        others = [one for one in self._open if one is not new and not one.closing()]
        waiting = [one for one in others if one.phase in _WAITING]
        if waiting:
            return min(waiting, key=lambda one: one.since)
        old = [one for one in others if one.phase is Phase.BODY and now - one.since >= _SWEEP_S]
        return min(old, key=lambda one: one.received / (now - one.since), default=None)

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._open.pop(connection, None)
        self._lingering -= connection.phase is Phase.LINGERING

    def may_linger(self) -> bool:
        """Return whether one more refused connection may stay open for a moment, and count it."""
        if self._lingering >= _MAX_LINGERING:
            return False
        self._lingering += 1
        return True

    def note(self, reason: str) -> None:
        """Count a connection that a limit closes."""
        self._closed[reason] += 1
        self._observer.connection_closed(reason)

    def sweep(self, now: float) -> None:
        """Close the connections whose time is over, and log how many were closed.

        Args:
            now: time of the event loop.
        """
        for connection in list(self._open):
            self._check(connection, now)
        if self._closed and now >= self._logged + _LOG_S:
            fields = {"closed": dict(self._closed), "open": len(self._open)}
            logger.warning("connections were closed", extra={"fields": fields})
            self._closed.clear()
            self._logged = now

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self.sweep(loop.time())
        busy = self._open or self._closed
        self._timer = loop.call_later(_SWEEP_S, self._tick, loop) if busy else None

    def _check(self, connection: Connection, now: float) -> None:
        waited_s = now - connection.since
        if connection.phase is Phase.LINGERING:
            if waited_s >= 2 * _SWEEP_S:
                connection.abort()
        elif connection.stalled_s(now) > self._fetch_s:
            self.note("unfetched")
            connection.abort()
        elif waited_s <= self.head_s or connection.closing():
            return
        elif connection.phase is Phase.HANDSHAKE:
            self.note("slow_handshake")
            connection.abort()
        elif connection.phase is Phase.HEAD:
            self.note("slow_head")
            connection.time_out()
        elif connection.phase is Phase.IDLE and connection.fresh:
            self.note("silent")
            connection.close()
