"""A Triton that is unreachable or slow, or that gives a wrong answer, is an error of its kind."""

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Literal

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from radiograph.errors import InvalidVersion
from radiograph.manifest import ModelManifest
from radiograph.repository.repository import Repository
from service.backends import golden
from service.backends.base import Backend
from service.backends.factory import backend_factory
from service.backends.triton.client import TritonClient
from service.backends.triton.server import Call
from service.errors import BackendFailure, BackendUnavailable, InvalidSettings
from service.settings import Settings, TritonSettings

SHAPE = (2, 3)
GOOD = np.arange(6, dtype=np.float32).reshape(SHAPE)
Answer = Callable[[Any, grpc.ServicerContext], Any]


class Scripted(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Triton that answers every inference as a test says, and loads any model."""

    def __init__(self, answer: Answer) -> None:
        self.ModelInfer = answer
        self.loaded = False

    def RepositoryModelLoad(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.loaded = True
        return service_pb2.RepositoryModelLoadResponse()

    def RepositoryModelUnload(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.loaded = False
        return service_pb2.RepositoryModelUnloadResponse()

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ModelReadyResponse(ready=self.loaded)


@contextlib.contextmanager
def scripted(answer: Answer, credentials: grpc.ServerCredentials = None) -> Iterator[str]:
    """Run a server that gives this answer, and return its address."""
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Scripted(answer), server)
    address = "127.0.0.1:0"
    port = (
        server.add_secure_port(address, credentials)
        if credentials
        else server.add_insecure_port(address)
    )
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def response(
    value: bytes = GOOD.tobytes(),
    name: str = "logits",
    kind: str = "FP32",
    shape: tuple[int, ...] = SHAPE,
) -> Any:
    output = service_pb2.ModelInferResponse.InferOutputTensor(name=name, datatype=kind, shape=shape)
    return service_pb2.ModelInferResponse(outputs=[output], raw_output_contents=[value])


def call(inputs: np.ndarray[Any, Any] = GOOD) -> Call:
    return Call("tiny-findings", 1, {"global_features": inputs}, {"logits": SHAPE})


def ask(url: str, protocol: Literal["grpc", "http"] = "grpc", timeout_s: float = 10.0) -> Any:
    client = TritonClient(TritonSettings(url=url, protocol=protocol, timeout_s=timeout_s))
    try:
        return client.infer(call(), None)["logits"]
    finally:
        client.close()


def test_a_correct_answer_is_accepted() -> None:
    with scripted(lambda *_: response()) as url:
        np.testing.assert_array_equal(ask(url), GOOD)


WRONG_ANSWERS = {
    "another shape": (response(shape=(3, 2)), "not FP32"),
    "another rank": (response(shape=(6,)), "not FP32"),
    "a negative axis": (response(shape=(-2, -3)), "not FP32"),
    "a vast shape": (response(shape=(2**40, 2**40)), "not FP32"),
    "another type": (response(kind="INT32"), "not FP32"),
    "a made-up type": (response(kind="FP9000"), "not FP32"),
    "doubles": (response(GOOD.astype(np.float64).tobytes(), kind="FP64"), "not FP32"),
    "another name": (response(name="distances"), "does not give `logits`"),
    "nothing": (service_pb2.ModelInferResponse(), "does not give `logits`"),
    "too few bytes": (response(GOOD.tobytes()[:-1]), "cannot be read"),
    "too few values": (response(GOOD.tobytes()[:-4]), "cannot be read"),
    "too many values": (response(bytes(4096)), "cannot be read"),
    "no values": (response(b""), "cannot be read"),
    "not a number": (response(np.full(SHAPE, np.nan, np.float32).tobytes()), "not finite"),
    "infinity": (response(np.full(SHAPE, np.inf, np.float32).tobytes()), "not finite"),
}


@pytest.mark.parametrize(("answer", "reason"), WRONG_ANSWERS.values(), ids=WRONG_ANSWERS)
def test_a_wrong_answer_is_refused(answer: Any, reason: str) -> None:
    with (
        scripted(lambda *_: answer) as url,
        pytest.raises(BackendFailure, match=reason),
    ):
        ask(url)


REFUSALS = {
    "busy": (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size", BackendUnavailable),
    "exhausted": (grpc.StatusCode.RESOURCE_EXHAUSTED, "no memory", BackendUnavailable),
    "late": (grpc.StatusCode.DEADLINE_EXCEEDED, "late", BackendUnavailable),
    "unloaded": (
        grpc.StatusCode.UNAVAILABLE,
        "Request for unknown model: 'tiny' version 1 is not at ready state",
        BackendUnavailable,
    ),
    "a graph that fails": (grpc.StatusCode.INTERNAL, "onnx runtime error 6", BackendFailure),
    "arrays that do not fit": (grpc.StatusCode.INVALID_ARGUMENT, "bad shape", BackendFailure),
    "not a Triton": (grpc.StatusCode.UNIMPLEMENTED, "what?", BackendFailure),
}


@pytest.mark.parametrize(("code", "words", "kind"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_tells_whether_a_retry_may_help(
    code: grpc.StatusCode, words: str, kind: type[Exception]
) -> None:
    def refuse(_: Any, context: grpc.ServicerContext) -> None:
        context.abort(code, words)

    with scripted(refuse) as url, pytest.raises(kind) as caught:
        ask(url)
    assert words not in str(caught.value)
    assert type(caught.value) is not BackendFailure or kind is BackendFailure


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_closed_port_may_be_tried_again(protocol: Literal["grpc", "http"]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        with pytest.raises(BackendUnavailable, match="cannot be reached"):
            ask(f"127.0.0.1:{taken.getsockname()[1]}", protocol)


def test_a_slow_call_times_out_and_the_next_one_works(tiny_models: Path) -> None:
    go_on = threading.Event()

    def slow(*_: Any) -> Any:
        go_on.wait(30)
        return response(shape=(2, 2), value=GOOD.tobytes()[:16])

    features = {"global_features": np.zeros((2, 4), np.float32)}
    with scripted(slow) as url:
        backend, *_ = open_backend(tiny_models, url, triton_timeout_s=0.5)
        try:
            with pytest.raises(BackendUnavailable, match="in time"):
                backend.head("findings", features)
        finally:
            go_on.set()
        assert backend.head("findings", features)["logits"].shape == (2, 2)
        backend.close()


def test_a_slow_http_server_times_out() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(BackendUnavailable, match="in time"):
            ask(f"127.0.0.1:{silent.getsockname()[1]}", "http", timeout_s=0.2)


PAGES = {
    "a web page": (200, "text/html", b"<html>welcome</html>"),
    "nothing": (200, "application/json", b""),
    "a list": (200, "application/json", b"[]"),
    "no outputs": (200, "application/json", b"{}"),
    "outputs of nothing": (200, "application/json", b'{"outputs": [{"name": "logits"}]}'),
    "an unreadable error": (500, "text/plain", b"\xff\xfe"),
    "an error": (400, "application/json", b'{"error": "no"}'),
    "binary lengths that lie": (
        200,
        "application/octet-stream",
        json.dumps(
            {
                "outputs": [
                    {
                        "name": "logits",
                        "datatype": "FP32",
                        "shape": SHAPE,
                        "parameters": {"binary_data_size": 10**12},
                    }
                ]
            }
        ).encode(),
    ),
}


@pytest.mark.parametrize(("status", "kind", "body"), PAGES.values(), ids=PAGES)
def test_a_web_server_other_than_triton_is_a_failure(status: int, kind: str, body: bytes) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Inference-Header-Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with pytest.raises(BackendFailure):
                ask(f"127.0.0.1:{server.server_port}", "http")
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a self-signed certificate for 127.0.0.1, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=triton", "-addext"]
    command += ["subjectAltName=IP:127.0.0.1", "-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def test_over_tls_both_sides_are_checked(certificates: tuple[Path, Path]) -> None:
    certificate, key = certificates
    pair = (key.read_bytes(), certificate.read_bytes())
    credentials = grpc.ssl_server_credentials([pair], pair[1], require_client_auth=True)
    with scripted(lambda *_: response(), credentials) as url:
        own: dict[str, Any] = {"certificate_file": certificate, "key_file": key}
        for tls, accepted in (
            ({"tls": True, "ca_file": certificate, **own}, True),
            ({"tls": True, "ca_file": certificate}, False),  # without a certificate of its own
            ({"tls": True, **own}, False),  # does not trust the server's certificate
            ({}, False),
        ):
            client = TritonClient(TritonSettings(url=url, timeout_s=20, **tls))
            if accepted:
                np.testing.assert_array_equal(client.infer(call(), None)["logits"], GOOD)
            else:
                with pytest.raises(BackendUnavailable):
                    client.infer(call(), None)
            client.close()


@pytest.mark.parametrize("trusted", [True, False])
def test_over_https_the_certificate_is_checked(
    certificates: tuple[Path, Path], trusted: bool
) -> None:
    certificate, key = certificates
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            url = f"127.0.0.1:{server.server_port}"
            ca_file = certificate if trusted else None
            settings = TritonSettings(
                url=url, protocol="http", timeout_s=20, tls=True, ca_file=ca_file
            )
            kind = BackendFailure if trusted else BackendUnavailable
            with pytest.raises(kind):
                TritonClient(settings).infer(call(), None)
        finally:
            server.shutdown()
            thread.join()


class Refusing(BaseHTTPRequestHandler):
    """Web server that understands the request and refuses it."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(400)
        self.send_header("Content-Length", "15")
        self.end_headers()
        self.wfile.write(b'{"error": "no"}')

    def log_message(self, *_: Any) -> None:
        pass


def open_backend(
    tiny_models: Path, url: str, **changes: Any
) -> tuple[Backend, ModelManifest, Path]:
    repository = Repository(tiny_models)
    manifest, folder = repository.load_manifest("tiny", 1), repository.folder("tiny", 1)
    given = {"backend": "triton", "triton_url": url, "triton_wait_s": 0}
    chosen = Settings.of(**given | changes)
    return backend_factory(chosen)(folder, manifest), manifest, folder


def test_a_version_whose_golden_outputs_are_wrong_is_refused(tiny_models: Path) -> None:
    with scripted(lambda *_: response()) as url:
        backend, manifest, folder = open_backend(tiny_models, url)
        with pytest.raises(InvalidVersion, match="does not give"):
            golden.replay(backend, manifest, folder)
        backend.close()


WRONG_SETTINGS = {
    "a scheme": {"triton_url": "http://127.0.0.1:8000"},
    "no port": {"triton_url": "triton"},
    "an unknown protocol": {"triton_protocol": "carrier-pigeon"},
    "no time": {"triton_timeout_s": 0},
    "certificates without TLS": {"triton_ca_file": "ca.pem"},
    "a certificate without its key": {"triton_tls": True, "triton_certificate_file": "c.pem"},
    "a variant that is not in Triton": {"variant": "int8"},
    "a file that is not there": {"triton_tls": True, "triton_ca_file": "/nowhere/ca.pem"},
}


@pytest.mark.parametrize("given", WRONG_SETTINGS.values(), ids=WRONG_SETTINGS)
def test_settings_that_contradict_each_other_are_an_error_at_start(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidSettings):
        backend_factory(Settings.of(backend="triton", **given))
