"""`g2d serve`: settings are checked before the service starts."""

from pathlib import Path

import pytest

from tests.builders.g2d.command_line import g2d


def test_serve_refuses_settings_without_a_usable_value(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.observability.logs.configure", lambda level: None)
    result = g2d("serve", "--port", "70000", models=tiny_models)
    assert result.exit_code == 2
    assert "G2D_PORT" in result.stderr
