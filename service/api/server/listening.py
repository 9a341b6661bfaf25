"""The server that listens, and tells its address once connections are accepted.

application, options --listen--> uvicorn --first connection possible--> on_listening(URL)
"""

import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from service.errors import ServiceError

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not listened to


def listen(app: Any, on_listening: Callable[[str], None], **options: Any) -> None:
    """Serve an application until the process is told to stop.

    Args:
        app: the ASGI application.
        on_listening: called with the address once connections are accepted.
        options: options of `uvicorn.Config`.

    Raises:
        ServiceError: the address cannot be listened to, or the application did not start. The
            reason was logged.
    """
    server = _Server(uvicorn.Config(app, **options), on_listening)
    try:
        server.run()
    except KeyboardInterrupt:  # raised again by uvicorn, after the shutdown
        pass
    except SystemExit as stop:
        if not stop.code:
            raise
    if not server.started:
        raise ServiceError("the service did not start")


class _Server(uvicorn.Server):
    """A server that tells its address."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[str], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, then tell the address."""
        await super().startup(sockets)
        (first, *_) = (listener for server in self.servers for listener in server.sockets)
        self._on_listening(address(first.getsockname(), encrypted=self.config.is_ssl))


def address(name: tuple[Any, ...], *, encrypted: bool) -> str:
    """Return the URL of a socket, as a browser on this host reaches it.

    Args:
        name: host and port, as `getsockname` returns them.
        encrypted: True if it speaks TLS.
    """
    host, port = name[:2]
    reached = _EVERY_ADDRESS.get(host, host)
    quoted = f"[{reached}]" if ":" in reached else reached
    return f"{'https' if encrypted else 'http'}://{quoted}:{port}/"
