"""DICOM server with bounds: pynetdicom's, which waits and buffers without limits by itself.

    accept --at most so many connections--> TLS handshake in the thread of the connection
    PDU    --length, time to arrive--> DUL      message --size, number waiting--> DIMSE
    A-ASSOCIATE-RQ --places--> negotiation, or rejected as transient (local limit exceeded)

pynetdicom counts connections that it is about to reject as associations, so that of twenty that
arrive at once it may serve none; here only associations that were admitted take a place.
"""

import logging
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from socketserver import BaseServer
from typing import Any, cast

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

logger = logging.getLogger("g2d.gateway.dicom")

_TRANSIENT, _PRESENTATION, _LOCAL_LIMIT_EXCEEDED = 0x02, 0x03, 0x02
"""Result, source and reason of the rejection (PS3.8 section 9.3.4)."""
_INVALID_PDU = "Evt19"
"""Event of the state machine that aborts the association (PS3.8 section 9.2)."""
_PDU_HEADER_BYTES = 6
_MAX_PDU_BYTES = 1024 * 1024
"""Longest PDU that is read; longer than the ones that the server asks peers to send."""
_MAX_WAITING_MESSAGES = 4
_CONNECTIONS_PER_PLACE = 4
_CHUNK_BYTES = 64 * 1024


@dataclass
class Bounds:
    """Bounds of one server, and the associations that have a place.

    Attributes:
        associations: associations that are served at the same time.
        max_bytes: size of the largest message.
        timeout_s: seconds within which a PDU must arrive.
    """

    associations: int
    max_bytes: int
    timeout_s: float
    _admitted: set[Association] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def admit(self, association: Association) -> bool:
        """Give an association a place; return False if there is none."""
        with self._lock:
            self._admitted = {one for one in self._admitted if _is_open(one)}
            if len(self._admitted) >= self.associations:
                return False
            self._admitted.add(association)
            return True


def _is_open(association: Association) -> bool:
    ended = association.is_released or association.is_aborted or association.is_rejected
    return association.is_alive() and not ended


class BoundedServer(ThreadedAssociationServer):
    """Server whose connections are bounded.

    Attributes:
        bounds: bounds of the server; set by `bounded`.
    """

    bounds: Bounds

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept a connection; its TLS handshake happens when its thread first reads."""
        listening = cast(socket.socket, self.socket)
        connection, address = listening.accept()
        connection.settimeout(self.bounds.timeout_s)
        if self.ssl_context is not None:
            connection = self.ssl_context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def shutdown(self) -> None:
        """Stop to listen; open associations are not ended. Blocks."""
        BaseServer.shutdown(self)
        self.server_close()

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        """Return whether there is room for one more connection."""
        return len(self.active_associations) < self.bounds.associations * _CONNECTIONS_PER_PLACE

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log that a connection failed, without its address."""
        logger.error("a connection failed")


def bounded(given: Bounds) -> type[BoundedServer]:
    """Return the class of a server with these bounds."""

    class Server(BoundedServer):
        bounds = given

    return Server


class BoundedRequestHandler(RequestHandler):
    """Creates the association of a connection, with our socket and message reader."""

    def _create_association(self) -> Association:
        association = super()._create_association()
        bounds = cast(BoundedServer, self.server).bounds
        association.dul.event_queue.get_nowait()  # that of the socket which is replaced
        association.dul.socket = _BoundedSocket(association, self.request, bounds.timeout_s)
        association.dimse = _BoundedMessages(association, bounds.max_bytes)
        return association


class _BoundedSocket(AssociationSocket):
    """Socket that reads no long PDU, and none that arrives too slowly."""

    def __init__(self, association: Association, connection: Any, timeout_s: float) -> None:
        super().__init__(association, client_socket=connection)
        self._timeout_s = timeout_s

    def recv(self, nr_bytes: int) -> bytearray:
        """Read bytes of a PDU; fewer if the connection ends.

        Raises:
            OSError: the PDU is too long, or does not arrive in time.
        """
        if nr_bytes > _MAX_PDU_BYTES:
            raise OSError("the PDU is too long")
        connection = cast(socket.socket, self.socket)
        received = bytearray()
        due = time.monotonic() + self._timeout_s
        while len(received) < nr_bytes:
            left = due - time.monotonic()
            if left <= 0:
                raise TimeoutError("the PDU arrives too slowly")
            connection.settimeout(left)
            piece = connection.recv(min(nr_bytes - len(received), _CHUNK_BYTES))
            if not piece:
                break
            received += piece
        connection.settimeout(self._timeout_s)
        return received


def close_socket(association_socket: AssociationSocket) -> None:
    """Shut the connection of a socket down, if there is one, and close it."""
    connection = association_socket.socket
    if connection is not None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


class _BoundedMessages(DIMSEServiceProvider):
    """Message reader that aborts the association for a large message, or for many that wait."""

    def __init__(self, association: Association, max_bytes: int) -> None:
        super().__init__(association)
        self._max_bytes = max_bytes

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the next piece of a message."""
        super().receive_primitive(primitive)
        if self.msg_queue.qsize() > _MAX_WAITING_MESSAGES or self._size() > self._max_bytes:
            self.message = None
            self.dul.event_queue.put(_INVALID_PDU)

    def _size(self) -> int:
        """Return the bytes of the message that is being received."""
        if self.message is None:
            return 0
        data_set = self.message.data_set
        return self.message.encoded_command_set.tell() + (
            0 if data_set is None else data_set.tell()
        )


def admit(event: evt.Event, bounds: Bounds) -> None:
    """Reject an association as transient if there is no place for it: handler of EVT_REQUESTED."""
    association = event.assoc
    if not bounds.admit(association):
        association.acse.send_reject(_TRANSIENT, _PRESENTATION, _LOCAL_LIMIT_EXCEEDED)
        evt.trigger(association, evt.EVT_REJECTED, {})
        association.kill()


def server_context(certificate: str, key: str, client_ca: str | None) -> ssl.SSLContext:
    """Return the TLS context of a server (PS3.15 section B.12: TLS 1.2 or newer).

    Raises:
        OSError: a file cannot be read, or is no certificate with its key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key, password="")  # never ask for one
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
