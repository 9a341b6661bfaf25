"""Sender of audit messages by syslog over TLS, which never delays or stops the service.

    send --> queue --one thread--> <LENGTH> <SYSLOG MESSAGE> --> audit repository
                |                     '- connection lost: connected again, with growing pauses
                '- full: dropped and counted

A message that was handed to a connection which then breaks may be lost, because syslog has no
acknowledgement; the chain in the store is the log that counts.

Source: RFC 5424 (message), RFC 5425 (TLS and framing), DICOM PS3.15 A.6.
"""

import logging
import os
import queue
import re
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

from service.errors import InvalidSettings
from service.observability.observer import NULL_OBSERVER, Observer

logger = logging.getLogger("g2d.audit")

_PRIORITY = 10 * 8 + 5
"""Facility 10 (security), severity 5 (notice)."""
_MESSAGE_ID = "DICOM+RFC3881"
_APPLICATION = "g2d"
_MAX_QUEUED = 10_000
_TIMEOUT_S = 5.0
_NOT_PRINTABLE = re.compile(r"[^!-~]")


@dataclass(frozen=True)
class Destination:
    """Audit repository.

    Attributes:
        host, port: address.
        context: verifies its certificate, and shows ours if it has one.
        pause_s: pause after a failed connection; doubled up to 32 times as long.
    """

    host: str
    port: int
    context: ssl.SSLContext
    pause_s: float = 1.0


class SyslogSender:
    """Sends messages in their order, in a thread of its own.

    Args:
        destination: where to send them.
        source: name of this process, as messages give it.
        observer: is told of messages that were sent or dropped.
    """

    def __init__(
        self, destination: Destination, source: str, observer: Observer = NULL_OBSERVER
    ) -> None:
        self._destination = destination
        self._source = _NOT_PRINTABLE.sub("-", source)[:255] or "-"
        self._observer = observer
        self._queue: queue.Queue[bytes] = queue.Queue(_MAX_QUEUED)
        self._closing = threading.Event()
        self._connection: ssl.SSLSocket | None = None
        self._thread = threading.Thread(target=self._work, name="audit-syslog", daemon=True)

    def start(self) -> None:
        """Start to send."""
        self._thread.start()

    def send(self, time: str, text: str) -> None:
        """Queue a message, or drop it if too many are queued; returns at once.

        Args:
            time: time of the event, as RFC 3339 writes it.
            text: the audit message.
        """
        try:
            self._queue.put_nowait(self._frame(time, text))
        except queue.Full:
            self._observer.audit_messages("dropped", 1)

    def close(self) -> None:
        """Send what is queued if the connection allows it, and drop the rest. Blocks."""
        self._closing.set()
        self._thread.join()
        self._disconnect()
        if left := self._queue.qsize():
            self._observer.audit_messages("dropped", left)

    def _frame(self, time: str, text: str) -> bytes:
        header = f"<{_PRIORITY}>1 {time} {self._source} {_APPLICATION} {os.getpid()} {_MESSAGE_ID}"
        message = f"{header} - ".encode() + b"\xef\xbb\xbf" + text.encode()
        return str(len(message)).encode() + b" " + message

    def _work(self) -> None:
        failures = 0
        while not (self._closing.is_set() and self._queue.empty()):
            try:
                frame = self._queue.get(timeout=0.1)
            except queue.Empty:
                continue
            while not self._sent(frame):
                failures += 1
                pause_s = self._destination.pause_s * 2 ** min(failures - 1, 5)
                if self._closing.wait(pause_s):
                    self._observer.audit_messages("dropped", 1)
                    return
            failures = 0
            self._observer.audit_messages("sent", 1)

    def _sent(self, frame: bytes) -> bool:
        """Return whether a frame was sent; it is sent again otherwise, over a new connection."""
        try:
            if self._connection is None:
                self._connection = self._connected()
            elif _is_closed(self._connection):
                raise ConnectionError
            self._connection.sendall(frame)
        except OSError as error:
            logger.warning("audit messages cannot be sent: %s", type(error).__name__)
            self._disconnect()
            return False
        return True

    def _connected(self) -> ssl.SSLSocket:
        there = self._destination
        plain = socket.create_connection((there.host, there.port), timeout=_TIMEOUT_S)
        try:
            return there.context.wrap_socket(plain, server_hostname=there.host)
        except OSError:
            plain.close()
            raise

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def tls_context(ca_file: Path | None, certificate_file: Path | None) -> ssl.SSLContext:
    """Return a context that verifies the repository, and identifies the service if it can.

    Args:
        ca_file: PEM file of the authorities, or None for those of the system.
        certificate_file: PEM file of our certificate and key, or None.

    Raises:
        InvalidSettings: a file cannot be read, or is not PEM.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate_file is not None:
            context.load_cert_chain(certificate_file)
    except OSError as error:
        raise InvalidSettings(
            f"G2D_AUDIT_SYSLOG_*_FILE: {error.strerror or 'not a PEM file'}"
        ) from error
    return context


def _is_closed(connection: ssl.SSLSocket) -> bool:
    """Return whether the other side has closed a connection, over which it never sends anything."""
    connection.settimeout(0)
    try:
        return connection.recv(1) == b""
    except (ssl.SSLWantReadError, BlockingIOError):
        return False
    finally:
        connection.settimeout(_TIMEOUT_S)
