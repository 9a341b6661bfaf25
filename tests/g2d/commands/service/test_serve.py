"""`g2d serve`: settings are checked and the process is prepared before the service starts."""

import gc
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from g2d.commands.service import serve
from service import malloc
from service.api.server import listening
from service.settings import Settings
from tests.builders.g2d.command_line import failed, g2d
from tests.builders.service.http import certificates


def test_serve_refuses_settings_without_a_usable_value(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.observability.logs.configure", lambda level: None)
    result = g2d("serve", "--port", "70000", models=tiny_models)
    assert result.exit_code == 2
    assert "G2D_PORT" in result.stderr


def test_the_server_has_our_protocol_and_keeps_connections_as_the_settings_say(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(listening, "listen", lambda app, tell, **options: given.update(options))
    monkeypatch.setattr(malloc, "share_arenas", lambda: None)
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    serve._run(Settings.of(models_dir=tiny_models, keep_alive_s=77, max_header_bytes=9000))
    assert given["timeout_keep_alive"] == 77
    assert given["http"].limits.max_head_bytes == 9000


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--host", "192.0.2.1"), "G2D_ALLOW_ANONYMOUS"),
        (("--host", "192.0.2.1", "--keys-file", "missing.json"), "G2D_KEYS_FILE"),
    ],
)
def test_serve_refuses_to_be_open_to_other_hosts(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], named: str
) -> None:
    monkeypatch.setattr("service.observability.logs.configure", lambda level: None)
    monkeypatch.setattr(listening, "listen", lambda *_, **__: pytest.fail("served"))
    result = g2d("serve", *options, models=tiny_models)
    failed(result, named)


def test_the_garbage_collector_does_not_visit_the_application(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen: list[bool] = []

    def run(app: FastAPI, *_: Any, **__: Any) -> None:
        frozen.append(all(found is not app for found in gc.get_objects()))

    monkeypatch.setattr(listening, "listen", run)
    monkeypatch.setattr(malloc, "share_arenas", lambda: None)
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)
    try:
        serve._run(Settings.of(models_dir=tiny_models))
    finally:
        gc.unfreeze()
    assert frozen == [True]


def followers() -> list[str]:
    """Return the names of the threads that follow the certificate."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name == "poller of the certificate"]


def test_the_certificate_is_followed_until_the_server_stops(
    tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[list[str]] = []
    given: dict[str, Any] = {}

    def run(*_: Any, **options: Any) -> None:
        served.append(followers())
        given.update(options)

    monkeypatch.setattr(listening, "listen", run)
    monkeypatch.setattr(malloc, "share_arenas", lambda: None)
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    certificate, key = certificates.write(tmp_path, "service")
    files = {"tls_certificate_file": certificate, "tls_key_file": key}
    serve._run(Settings.of(models_dir=tiny_models, **files))
    assert served == [["poller of the certificate"]]
    assert callable(given["loop"])  # with the deadline of handshakes
    assert followers() == []


@pytest.mark.parametrize(
    ("terminal", "told"), [(True, "open http://127.0.0.1:8000/\n"), (False, "")]
)
def test_a_person_on_a_terminal_is_told_the_address(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    terminal: bool,
    told: str,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    serve._tell_address("http://127.0.0.1:8000/")
    assert capsys.readouterr() == ("", told)
