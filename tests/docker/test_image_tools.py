"""What the image build and its check run beside the service, standard library only."""

import io
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from PIL import Image

from docker import healthcheck, pip_settings, probe

WHOLE = {"name": "Left lung", "rle": {"counts": [probe.ROWS * probe.COLUMNS]}}
ANSWER = {
    "image": {"rows": probe.ROWS, "columns": probe.COLUMNS},
    "model": {"digest": "0" * 64},
    "findings": [],
    "masks": [WHOLE],
}


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server on a free port that answers every request with one status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health/ready" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "ready"), [(200, True), (204, False), (503, False)])
def test_only_200_is_ready(status: int, ready: bool) -> None:
    with answering(status) as port:
        assert healthcheck.is_ready(port) is ready


def test_a_closed_port_is_not_ready() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert not healthcheck.is_ready(closed.getsockname()[1])


def test_the_probe_sends_a_grayscale_png_of_the_size_it_says() -> None:
    image = Image.open(io.BytesIO(probe.png(probe.ROWS, probe.COLUMNS)))
    assert (image.mode, image.size) == ("L", (probe.COLUMNS, probe.ROWS))
    lung, spine, air = ((150, 240), (256, 240), (0, 0))
    assert image.getpixel(spine) > image.getpixel(lung) > image.getpixel(air)  # type: ignore[operator]


def test_a_complete_answer_has_no_mistakes() -> None:
    assert probe.mistakes(ANSWER, ["classify", "segment"]) == []


@pytest.mark.parametrize(
    "change",
    [
        {"masks": None},
        {"masks": [WHOLE | {"rle": {"counts": [1, 2]}}]},
        {"image": None},
        {"image": {"rows": 1, "columns": 1}},
        {"model": {}},
    ],
)
def test_an_incomplete_answer_is_noticed(change: dict[str, object]) -> None:
    assert len(probe.mistakes(ANSWER | change, ["classify", "segment"])) == 1


def test_the_probe_sends_a_job_waits_for_its_answer_and_removes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replies = [
        (202, {"id": "7", "state": "queued"}),
        (200, {"id": "7", "state": "running"}),
        (200, {"id": "7", "state": "finished"}),
        (200, ANSWER),
        (204, None),
    ]
    asked: list[tuple[str, str]] = []

    def reply(_: int, method: str, path: str, *__: object) -> tuple[int, bytes]:
        status, content = replies[len(asked)]
        asked.append((method, path))
        return status, json.dumps(content).encode()

    monkeypatch.setattr(probe, "send", reply)
    monkeypatch.setattr(probe, "PAUSE_S", 0)
    assert probe.answer_of_job(8000, "tasks=segment", b"picture") == ANSWER
    assert asked == [
        ("POST", "/v1/jobs?tasks=segment"),
        ("GET", "/v1/jobs/7"),
        ("GET", "/v1/jobs/7"),
        ("GET", "/v1/jobs/7/results/1"),
        ("DELETE", "/v1/jobs/7"),
    ]


def test_paths_of_this_machine_stay_out_of_the_build() -> None:
    value = "file:///opt/wheels https://index.example/simple file:///srv"
    assert pip_settings.usable_elsewhere(value) == "https://index.example/simple"


def test_certificates_travel_and_the_settings_name_their_place_in_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("certificates")
    settings = {"cert": str(bundle), "index-url": "https://index.example/simple"}
    monkeypatch.setattr(pip_settings, "pip_settings", lambda: settings)
    pip_settings.write_secrets(tmp_path / "secrets")
    assert (tmp_path / "secrets/ca.crt").read_text() == "certificates"
    text = (tmp_path / "secrets/pip.conf").read_text()
    assert "index-url = https://index.example/simple\n" in text
    assert f"cert = {pip_settings.CERTIFICATES_IN_BUILD}\n" in text


def test_nothing_is_written_where_nothing_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pip_settings, "pip_settings", dict)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    pip_settings.write_secrets(tmp_path)
    assert list(tmp_path.iterdir()) == []
