"""`g2d models` with a store: upload, list, aliases and roll-back by command."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from g2d.commands.models.models import app
from radiograph.errors import StoreUnavailable
from radiograph.repository.repository import Repository
from tests.builders.files.s3_server import s3_server
from tests.builders.models.versions.small_version import NAME, manifest_of, write_stage


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    with s3_server():
        yield


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_store_is_used_as_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("G2D_MODELS_DIR", f"s3://bucket/{tmp_path.name}")
    folder, stage = Repository(tmp_path / "models"), write_stage(tmp_path / "stage")
    for _ in range(2):
        folder.publish(NAME, stage, manifest_of(stage), "stable")
    assert run("upload", str(folder.root)) == f"{NAME}: 1, 2\n"
    assert run("upload", str(folder.root)) == f"{NAME}: nothing new\n"
    assert run("rollback", NAME) == f"{NAME}: stable -> 1\n"
    assert run("alias", NAME, "canary", "2") == f"{NAME}: canary -> 2\n"
    assert "canary" in run("list")
    assert "digests match" in run("verify", "--no-golden")


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    arguments = ["upload", str(tmp_path), "--models-dir", str(tmp_path)]
    with pytest.raises(StoreUnavailable, match="BUCKET"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
