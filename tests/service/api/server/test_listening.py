"""The server tells the address that a browser on this host reaches, once it listens."""

import signal
import socket
from typing import Any

import pytest

from service.api.server.listening import address, listen
from service.errors import ServiceError


@pytest.mark.parametrize(
    ("name", "encrypted", "url"),
    [
        (("127.0.0.1", 8000), False, "http://127.0.0.1:8000/"),
        (("0.0.0.0", 80), False, "http://127.0.0.1:80/"),  # noqa: S104 - not listened to
        (("::", 8000, 0, 0), True, "https://[::1]:8000/"),
        (("192.0.2.7", 443), True, "https://192.0.2.7:443/"),
    ],
)
def test_the_address_is_one_that_a_browser_reaches(
    name: tuple[Any, ...], encrypted: bool, url: str
) -> None:
    assert address(name, encrypted=encrypted) == url


async def stopping(scope: Any, receive: Any, send: Any) -> None:
    """An application that starts, and fails at every request."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def failing(scope: Any, receive: Any, send: Any) -> None:
    """An application that does not start."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no"})


def test_the_address_is_told_when_connections_are_accepted() -> None:
    told: list[str] = []

    def connect(url: str) -> None:
        told.append(url)
        port = int(url.rstrip("/").rpartition(":")[2])
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
        signal.raise_signal(signal.SIGINT)  # stops the server as a person does

    listen(stopping, connect, port=0, log_config=None)
    (url,) = told
    assert url.startswith("http://127.0.0.1:")
    assert ":0/" not in url


def test_an_address_in_use_and_a_failed_start_are_errors_of_the_service() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ServiceError, match="did not start"):
            listen(stopping, print, port=taken.getsockname()[1], log_config=None)
    with pytest.raises(ServiceError, match="did not start"):
        listen(failing, print, port=0, log_config=None)
