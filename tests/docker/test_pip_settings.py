"""Pip settings for an image build: only those that are valid elsewhere are written."""

from pathlib import Path

import pytest

from docker import pip_settings


def test_paths_of_this_machine_stay_out_of_the_build() -> None:
    value = "file:///opt/wheels https://index.example/simple file:///srv"
    assert pip_settings.without_local_paths(value) == "https://index.example/simple"


def test_certificates_are_copied_and_named_by_their_path_in_the_build(
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


def test_no_file_is_written_without_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pip_settings, "pip_settings", dict)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    pip_settings.write_secrets(tmp_path)
    assert list(tmp_path.iterdir()) == []
