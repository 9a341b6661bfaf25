"""The certificate follows its files, and open connections keep the one that they began with."""

import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from cryptography import x509
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from service.certificate import Certificate
from service.errors import InvalidSettings
from service.settings import Settings
from tests.builders.service.http import certificates

REQUEST = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


@contextmanager
def served(certificate: Certificate) -> Iterator[int]:
    """A server with a certificate on a free port, as `g2d serve` sets it up."""

    async def answer(_: object) -> PlainTextResponse:
        return PlainTextResponse("answered")

    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        Starlette(routes=[Route("/", answer)]),
        log_config=None,
        ws="none",
        lifespan="off",
        ssl_context_factory=lambda _config, _default: certificate.context,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def connect(port: int) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=60))


def name(connection: ssl.SSLSocket) -> str:
    """Return the name in the certificate of a connection."""
    der = connection.getpeercert(binary_form=True)
    assert der is not None
    return str(x509.load_der_x509_certificate(der).subject.rfc4514_string())


def asked(connection: ssl.SSLSocket) -> bytes:
    connection.sendall(REQUEST)
    received = b""
    while not received.endswith(b"answered"):
        received += connection.recv(4096)
    return received


def test_a_new_certificate_is_for_new_connections(tmp_path: Path) -> None:
    certificate = Certificate(*certificates.write(tmp_path, "first"))
    with served(certificate) as port, connect(port) as before:
        assert b"200 OK" in asked(before)
        certificates.write(tmp_path, "second")
        certificate.refresh()
        with connect(port) as after:
            assert (name(before), name(after)) == ("CN=first", "CN=second")
            assert b"200 OK" in asked(after)
        assert b"200 OK" in asked(before)


def test_files_that_do_not_fit_leave_the_certificate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = certificates.write(tmp_path, "first")
    certificate = Certificate(*files)
    key = files[1].read_bytes()
    certificates.write(tmp_path, "second")
    files[1].write_bytes(key)
    with caplog.at_level(logging.ERROR, "g2d.tls"):
        certificate.refresh()
        certificate.refresh()
        files[0].unlink()
        certificate.refresh()
    assert len(caplog.records) == 2
    with served(certificate) as port, connect(port) as connection:
        assert name(connection) == "CN=first"


def test_old_versions_of_tls_are_refused(tmp_path: Path) -> None:
    certificate = Certificate(*certificates.write(tmp_path, "first"))
    assert certificate.context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("fault", ["missing", "empty", "swapped", "encrypted", "text"])
def test_unusable_files_are_refused_in_one_line(tmp_path: Path, fault: str) -> None:
    password = b"secret-phrase" if fault == "encrypted" else None
    certificate, key = certificates.write(tmp_path, "first", password)
    match fault:
        case "missing":
            key.unlink()
        case "empty":
            key.write_bytes(b"")
        case "swapped":
            certificate, key = key, certificate
        case "text":
            certificate.write_text("Doe^Jane")
    with pytest.raises(InvalidSettings, match="G2D_TLS_KEY_FILE") as caught:
        Certificate(certificate, key)
    assert "\n" not in str(caught.value)
    assert "Doe" not in str(caught.value)


@pytest.mark.parametrize("name", ["tls_certificate_file", "tls_key_file"])
def test_a_certificate_needs_its_key(name: str) -> None:
    with pytest.raises(InvalidSettings, match="G2D_TLS_KEY_FILE"):
        Settings.of(**{name: "x.pem"})
