"""TLS handshakes of the server, counted and closed like every other connection.

    accepted --Handshake, counted--> start_tls --handshake ends--> protocol of the requests, counted
                 '--overdue, failed or displaced--> closed

Where a server is given an SSL context, a connection belongs to nobody before its handshake ends:
it would be neither counted nor closed for another one. Here the server accepts plain connections,
and the handshake begins afterwards.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, cast

from uvicorn.loops.auto import auto_loop_factory

from service.api.server.connections import Connections, Phase

_SPARE_S = 10.0
"""Time after which the event loop ends a handshake that the limits have left open."""


def loop_with_counted_handshakes(
    limits: Connections,
) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return a factory of the event loops of a server whose handshakes count as connections.

    Args:
        limits: limits that the connections of the server share.
    """

    def new_loop() -> asyncio.AbstractEventLoop:
        loop = auto_loop_factory()()
        create_server: Callable[..., Any] = loop.create_server

        def create(protocol: Callable[[], asyncio.Protocol], *rest: Any, **options: Any) -> Any:
            context = options.pop("ssl", None)
            if context is None:
                return create_server(protocol, *rest, **options)
            return create_server(lambda: Handshake(protocol, context, limits), *rest, **options)

        setattr(loop, "create_server", create)  # noqa: B010 - a method, for this loop alone
        return loop

    return new_loop


class _Received(asyncio.Protocol):
    """Keeps what a client sends right behind its handshake, until its protocol is connected."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = self.lost = False

    def data_received(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> bool:
        self.ended = True
        return True  # the protocol of the requests decides

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the interface
        self.lost = True


class Handshake(asyncio.Protocol):
    """One connection until its handshake has ended.

    Args:
        protocol: makes the protocol of the requests.
        context: certificate and versions of TLS.
        limits: limits of the server.

    Attributes:
        phase: `handshake`.
        since: time of the event loop at which the connection was accepted.
        fresh: True, as no request has arrived.
        received: 0, likewise.
    """

    def __init__(
        self, protocol: Callable[[], asyncio.Protocol], context: ssl.SSLContext, limits: Connections
    ) -> None:
        self.phase = Phase.HANDSHAKE
        self.fresh = True
        self.received = 0
        self._protocol = protocol
        self._context = context
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self.since = self._loop.time()
        self._early = bytearray()
        self._plain: asyncio.Transport
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake, unless there are too many connections."""
        self._plain = cast(asyncio.Transport, transport)
        if not self._limits.admit(self, self._loop):
            self._limits.note("refused")
            self._limits.remove(self)
            self._plain.abort()
            return
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(lambda _: self._limits.remove(self))
        # Its first step sets the protocol of TLS; then comes this, and no network before it.
        self._loop.call_soon(self._loop.call_soon, self._pass_on_early)

    def data_received(self, data: bytes) -> None:
        """Keep what arrives before the handshake begins."""
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the interface
        """Begin no handshake, as the connection was lost before that."""
        if self._task is not None:
            self._task.cancel()

    # What the limits ask for.

    def closing(self) -> bool:
        """Return whether the connection is being closed."""
        return self._plain.is_closing()

    def close(self) -> None:
        """Close the connection at once."""
        self._plain.abort()

    def abort(self) -> None:
        """Close the connection at once."""
        self._plain.abort()

    def time_out(self) -> None:
        """Close the connection at once, as there is no way yet to say why."""
        self._plain.abort()

    def stalled_s(self, now: float) -> float:  # noqa: ARG002 - the interface
        """Return 0, as no answer waits to be fetched."""
        return 0.0

    async def _run(self) -> None:
        """Shake hands, and hand the connection over to the protocol of the requests."""
        received = _Received()
        try:
            encrypted = await self._loop.start_tls(
                self._plain,
                received,
                self._context,
                server_side=True,
                ssl_handshake_timeout=self._limits.head_s + _SPARE_S,
            )
        except OSError:  # errors of TLS included
            return
        if encrypted is None or received.lost or self._plain.is_closing():
            self._plain.abort()
            return
        self._limits.remove(self)  # from here on, the protocol of the requests counts
        self._hand_over(encrypted, received)

    def _hand_over(self, transport: asyncio.Transport, received: _Received) -> None:
        made = self._protocol()
        transport.set_protocol(made)
        made.connection_made(transport)
        if received.data:
            made.data_received(received.data)
        if received.ended and not made.eof_received():
            transport.close()

    def _pass_on_early(self) -> None:
        """Give the protocol of TLS what arrived before it was set."""
        if not self._early or self._plain.is_closing():
            return
        # Both event loops have a buffered protocol here, though not of the class of that name.
        protocol = cast(asyncio.BufferedProtocol, self._plain.get_protocol())
        early, self._early = self._early, bytearray()
        while early:
            buffer = memoryview(protocol.get_buffer(len(early)))
            taken = min(len(buffer), len(early))
            buffer[:taken] = early[:taken]
            del early[:taken]
            protocol.buffer_updated(taken)
