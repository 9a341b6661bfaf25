"""Syslog over TLS against a real TLS server on this host: framing, reconnection, drops."""

import datetime
import ipaddress
import os
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.audit.messages.syslog import Destination, SyslogSender, tls_context
from service.errors import InvalidSettings
from service.observability.observer import Observer

TIME = "2026-11-30T20:15:24.000123Z"
HOST = "127.0.0.1"


def write_certificate(file: Path) -> None:
    """Write a self-signed certificate for this host, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "repository")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address(HOST))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(certificate.public_bytes(pem) + private)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tls") / "repository.pem"
    write_certificate(file)
    return file


@dataclass
class Repository:
    """An audit repository that keeps what it receives."""

    certificate: Path
    require_client: bool = False
    received: bytes = b""
    connections: list[ssl.SSLSocket] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate)
        if self.require_client:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(self.certificate)
        self._socket = socket.create_server((HOST, 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            with suppress(OSError):
                self._read(self._context.wrap_socket(plain, server_side=True))
            plain.close()

    def _read(self, connection: ssl.SSLSocket) -> None:
        with connection:
            self.connections.append(connection)
            while data := connection.recv(65536):
                with self.changed:
                    self.received += data
                    self.changed.notify_all()

    def messages(self, count: int) -> list[bytes]:
        """Wait for so many messages, and return them without their frames."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(frames(self.received)) >= count, 20)
            return frames(self.received)

    def drop_connections(self) -> None:
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.connections.clear()

    def close(self) -> None:
        self.drop_connections()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


def frames(data: bytes) -> list[bytes]:
    """Return the complete messages of a stream (RFC 5425, 4.3)."""
    found = []
    while match := re.match(rb"(\d+) ", data):
        length = int(match[1])
        message = data[match.end() : match.end() + length]
        if len(message) < length:
            break
        found.append(message)
        data = data[match.end() + length :]
    return found


@dataclass
class Counted(Observer):
    counts: dict[str, int] = field(default_factory=dict)

    def audit_messages(self, outcome: str, count: int) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + count


@pytest.fixture
def repository(certificate: Path) -> Iterator[Repository]:
    made = Repository(certificate)
    yield made
    made.close()


def sender(port: int, observer: Observer, ca: Path, own: Path | None = None) -> SyslogSender:
    destination = Destination(HOST, port, tls_context(ca, own), pause_s=0.01)
    return SyslogSender(destination, "host 1", observer)


def test_a_message_is_framed_and_has_the_header_of_rfc_5424(
    repository: Repository, certificate: Path
) -> None:
    counted = Counted()
    made = sender(repository.port, counted, certificate)
    made.start()
    made.send(TIME, "<AuditMessage>é</AuditMessage>")
    made.send(TIME, "<AuditMessage/>")
    first, second = repository.messages(2)
    made.close()
    header, _, text = first.partition(b"\xef\xbb\xbf")
    expected = f"<85>1 {TIME} host-1 g2d {os.getpid()} DICOM+RFC3881 - "
    assert header.decode() == expected
    assert text.decode() == "<AuditMessage>é</AuditMessage>"
    assert second.endswith(b"<AuditMessage/>")
    assert counted.counts == {"sent": 2}


def test_a_lost_connection_is_made_again(repository: Repository, certificate: Path) -> None:
    made = sender(repository.port, Counted(), certificate)
    made.start()
    made.send(TIME, "one")
    repository.messages(1)
    repository.drop_connections()
    made.send(TIME, "two")
    assert repository.messages(2)[1].endswith(b"two")
    made.close()


def test_messages_wait_until_the_repository_can_be_reached(certificate: Path) -> None:
    with socket.create_server((HOST, 0)) as reserved:
        port = reserved.getsockname()[1]
    counted = Counted()
    made = sender(port, counted, certificate)
    made.start()
    made.send(TIME, "early")
    made.close()
    assert counted.counts == {"dropped": 1}


def test_messages_beyond_the_queue_are_dropped_and_counted(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.audit.messages.syslog._MAX_QUEUED", 2)
    counted = Counted()
    made = sender(1, counted, certificate)
    for _ in range(5):
        made.send(TIME, "text")
    assert counted.counts == {"dropped": 3}


def test_a_repository_with_an_unknown_certificate_gets_nothing(
    repository: Repository, tmp_path: Path
) -> None:
    write_certificate(tmp_path / "other.pem")
    counted = Counted()
    made = sender(repository.port, counted, tmp_path / "other.pem")
    made.start()
    made.send(TIME, "secret")
    made.close()
    assert (repository.received, counted.counts) == (b"", {"dropped": 1})


def test_the_service_shows_its_certificate(certificate: Path) -> None:
    repository = Repository(certificate, require_client=True)
    made = sender(repository.port, Counted(), certificate, certificate)
    made.start()
    made.send(TIME, "text")
    assert len(repository.messages(1)) == 1
    made.close()
    repository.close()


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_file_without_a_certificate_is_an_invalid_setting(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidSettings, match="G2D_AUDIT_SYSLOG"):
        tls_context(file, None)
    with pytest.raises(InvalidSettings, match="G2D_AUDIT_SYSLOG"):
        tls_context(None, file)
