"""`g2d keys`: the whole life of a key on the command line."""

import json
from pathlib import Path

import pytest

from service.auth import key_file
from service.auth.keys import verify
from service.auth.principal import Scope
from tests.builders.g2d.command_line import failed, g2d


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def create(path: Path, *options: str) -> str:
    result = g2d("keys", "create", "--keys-file", str(path), "--owner", "pacs", *options)
    assert result.exit_code == 0, result.stderr
    return result.stdout.strip()


def test_a_key_is_printed_once_and_accepted(path: Path) -> None:
    token = create(path, "--scope", "infer", "--scope", "jobs")
    keys = {key.id: key for key in key_file.read(path).keys}
    assert verify(keys, token).scopes == {Scope.INFER, Scope.JOBS}
    (key,) = keys.values()
    assert key.expires is not None
    assert (key.expires - key.created).days == 365
    assert token.rpartition("_")[2] not in path.read_text()


def test_a_key_may_have_no_end(path: Path) -> None:
    create(path, "--scope", "metrics", "--days", "0")
    assert key_file.read(path).keys[0].expires is None


def test_keys_are_listed_without_secrets_or_digests(path: Path) -> None:
    token = create(path, "--scope", "infer")
    (key,) = key_file.read(path).keys
    text = g2d("keys", "list", "--keys-file", str(path)).stdout
    listed = json.loads(g2d("keys", "list", "--json", "--keys-file", str(path)).stdout)
    assert [row["id"] for row in listed] == [key.id]
    assert key.id in text
    assert "pacs" in text
    assert key.sha256 not in text + str(listed)
    assert token not in text + str(listed)


def test_a_revoked_key_is_gone(path: Path) -> None:
    create(path, "--scope", "infer")
    (key,) = key_file.read(path).keys
    assert g2d("keys", "revoke", key.id, "--keys-file", str(path)).exit_code == 0
    assert key_file.read(path).keys == ()
    again = g2d("keys", "revoke", key.id, "--keys-file", str(path))
    assert again.exit_code == 2
    assert "no key has this identifier" in again.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--owner", "a b", "--scope", "infer"],
        ["--owner", "pacs", "--scope", "root"],
        ["--owner", "pacs"],
        ["--owner", "pacs", "--scope", "infer", "--days", "-1"],
        ["--owner", "pacs", "--scope", "infer", "--days", "99999999"],
    ],
)
def test_bad_options_are_refused_and_write_nothing(path: Path, options: list[str]) -> None:
    result = g2d("keys", "create", "--keys-file", str(path), *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert not path.exists()


def test_a_file_of_something_else_is_not_overwritten(path: Path) -> None:
    path.write_text("my notes")
    failed(
        g2d("keys", "create", "--keys-file", str(path), "--owner", "a", "--scope", "infer"), "keys"
    )
    failed(g2d("keys", "list", "--keys-file", str(path)), "Invalid JSON")
    assert path.read_text() == "my notes"


def test_a_folder_that_does_not_exist_is_one_line(path: Path) -> None:
    missing = str(path / "deeper" / "keys.json")
    failed(
        g2d("keys", "create", "--keys-file", missing, "--owner", "a", "--scope", "infer"),
        "No such",
        3,
    )
