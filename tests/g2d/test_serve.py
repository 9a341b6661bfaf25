"""`g2d serve`: settings are checked and the process is prepared before the service starts."""

import gc
import sys
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from g2d import serve
from service import malloc
from service.settings import Settings
from tests.builders.g2d.command_line import g2d


def test_serve_refuses_settings_without_a_usable_value(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.observability.logs.configure", lambda level: None)
    result = g2d("serve", "--port", "70000", models=tiny_models)
    assert result.exit_code == 2
    assert "G2D_PORT" in result.stderr


def test_the_garbage_collector_does_not_visit_the_application(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen: list[bool] = []

    def run(app: FastAPI, **_: Any) -> None:
        frozen.append(all(found is not app for found in gc.get_objects()))

    monkeypatch.setattr(uvicorn, "run", run)
    monkeypatch.setattr(malloc, "share_arenas", lambda: None)
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)
    try:
        serve._run(Settings.of(models_dir=tiny_models))
    finally:
        gc.unfreeze()
    assert frozen == [True]
