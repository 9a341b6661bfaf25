"""Events: a thread that hears of requests for cancellation on the channel of a worklist.

    subscribe --address--> GET /subscribers/AE (WebSocket) --UPS Cancel Requested--> journal

A workitem does not say that its cancellation was requested, so that only this channel does. What is
requested while the channel is down is not heard; a workitem that the worklist itself ends is
noticed without it.

Source: PS3.18 sections 11.10 (Subscribe), 11.13 (Open Event Channel) and 11.14 (Send Event Report),
PS3.4 section CC.2.4 (Report a Change in UPS Status).
"""

import json
import logging
import ssl
import threading
from urllib.parse import urlsplit

from websockets.exceptions import InvalidURI, WebSocketException
from websockets.sync.client import ClientConnection, connect

from service.errors import ServiceError
from service.gateway.backoff import delay_s
from service.gateway.configuration import Worklist, read_secret
from service.gateway.sending.dimse_transport import client_context
from service.gateway.storage.workitems import Workitems
from service.gateway.worklist.dicom_json import items, text
from service.observability.metrics.gateway_metrics import GatewayMetrics

logger = logging.getLogger("g2d.gateway.worklist")

_MAX_BYTES = 64 * 1024
_LOOK_S = 0.5
_EVENT, _AFFECTED = "00001002", "00001000"
"""Event Type ID, Affected SOP Instance UID."""
_CANCEL_REQUESTED = 2
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class EventChannel:
    """Channel of one worklist.

    Args:
        worklist: address, token, certificates, delays.
        ae_title: AE title of the gateway.
        workitems: records.
        metrics: counts requests.
    """

    def __init__(
        self, worklist: Worklist, ae_title: str, workitems: Workitems, metrics: GatewayMetrics
    ) -> None:
        """Read token and certificates; nothing is connected yet.

        Raises:
            InvalidConfiguration: a file cannot be used.
        """
        token = read_secret(worklist.token_file)
        self._headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self._tls: ssl.SSLContext | None = None
        if worklist.url.startswith("https:"):
            self._tls = (
                ssl.create_default_context()
                if worklist.tls is None
                else client_context(worklist.tls)
            )
        self._worklist = worklist
        self._workitems = workitems
        self._metrics = metrics
        self._default = f"{_socket_address(worklist.url)}/subscribers/{ae_title}"
        self._address: str | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"events-{worklist.name}", daemon=True
        )

    def start(self) -> None:
        """Start to listen once there is a subscription."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop to listen. Blocks."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def subscribed(self, address: str | None) -> None:
        """Take the address of the channel that an answer names, if it is on the worklist's host."""
        named = None if address is None else _socket_address(address)
        same = named is not None and _host(named) == _host(self._default)
        self._address = named if same else self._default

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            if self._address is None:
                self._stopping.wait(_LOOK_S)
                continue
            try:
                with self._connect(self._address) as connection:
                    failures = 0
                    self._listen(connection)
            except (OSError, WebSocketException, InvalidURI, ValueError) as error:
                logger.warning(
                    "the event channel is down", extra={"fields": {"reason": type(error).__name__}}
                )
            except Exception:
                logger.exception("an event could not be handled")
            failures += 1
            self._stopping.wait(delay_s(self._worklist.retry, failures))

    def _connect(self, address: str) -> ClientConnection:
        return connect(
            address,
            ssl=self._tls,
            additional_headers=self._headers,
            compression=None,
            open_timeout=self._worklist.timeout_s,
            max_size=_MAX_BYTES,
            proxy=None,
        )

    def _listen(self, connection: ClientConnection) -> None:
        while not self._stopping.is_set():
            try:
                self._handle(connection.recv(timeout=_LOOK_S))
            except TimeoutError:
                continue

    def _handle(self, message: str | bytes) -> None:
        """Record a request for cancellation; anything else is left."""
        try:
            event = json.loads(message)
        except (ValueError, RecursionError):
            self._metrics.workitem(self._worklist.name, "malformed")
            return
        if isinstance(event, list) and len(event) == 1:
            event = event[0]
        if items(event, _EVENT)[:1] != [_CANCEL_REQUESTED]:
            return
        try:
            if self._workitems.request_cancel(text(event, _AFFECTED)):
                self._metrics.workitem(self._worklist.name, "cancel_requested")
        except ServiceError:
            logger.exception("a request for cancellation cannot be recorded")


def _host(url: str) -> tuple[str, str] | None:
    """Return scheme and host of an address, or None if it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts.scheme, parts.netloc


def _socket_address(url: str) -> str | None:
    """Return an address with the scheme of WebSocket, or None if it has another one."""
    scheme, separator, rest = url.partition("://")
    known = _SCHEMES.get(scheme.lower())
    return f"{known}://{rest.rstrip('/')}" if separator and known is not None else None
