"""The standard OTEL_* variables switch tracing on and off."""

import gzip
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from service.observability import tracing
from service.observability.tracing import tracing_setup
from service.observability.tracing.tracing import Outcome


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SERVICE_NAME": "g2d"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_tracing_is_off_unless_the_environment_asks_for_it(environ: dict[str, str]) -> None:
    assert tracing_setup.from_environment(environ) is None


def test_an_unsupported_protocol_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }
    assert tracing_setup.from_environment(environ) is None
    assert "grpc" in caplog.text


def test_a_missing_extra_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(tracing, "otel", raising=False)
    monkeypatch.delitem(sys.modules, "service.observability.tracing.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
    assert tracing_setup.from_environment(environ) is None
    assert "g2d-radiograph[otel]" in caplog.text


def test_spans_travel_to_the_endpoint_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "radiographs")
        made = tracing_setup.from_environment()
        assert made is not None
        made.begin(None).end(
            Outcome("POST", "/v1/segment", 200, "r-1", "tiny/1", None, {"trunk": 1.0})
        )
        made.close()
        server.shutdown()
    ((path, body),) = bodies
    assert path == "/v1/traces"
    (exported,) = ExportTraceServiceRequest.FromString(gzip_or_plain(body)).resource_spans
    names = {span.name for scope in exported.scope_spans for span in scope.spans}
    assert names == {"POST /v1/segment", "trunk"}
    assert any(
        item.key == "service.name" and item.value.string_value == "radiographs"
        for item in exported.resource.attributes
    )


def gzip_or_plain(body: bytes) -> bytes:
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body


def test_an_untraced_service_never_imports_the_sdk() -> None:
    program = (
        "import sys; from service.api import app;"
        "from service.observability.tracing import tracing_setup;"
        "assert tracing_setup.from_environment({}) is None;"
        "sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
