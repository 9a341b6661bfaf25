"""The servers are read at the start, and need an extra."""

import sys
from pathlib import Path

import pytest

from service.dicomweb.connect import open_archives
from service.errors import InvalidSettings
from service.settings import Settings


def test_without_a_file_there_is_no_server() -> None:
    assert open_archives(Settings.of(dicomweb_file=""), "own") is None


def test_without_the_extra_its_name_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.delitem(sys.modules, "service.dicomweb.archives", raising=False)
    with pytest.raises(InvalidSettings, match="extra `gateway`"):
        open_archives(Settings.of(dicomweb_file=tmp_path / "servers.toml"), "own")
