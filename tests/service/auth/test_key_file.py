"""The file of API keys: private, replaced as a whole, and followed while the service runs."""

import json
import logging
import os
import stat
import threading
from pathlib import Path

import pytest

from service.auth import key_file
from service.auth.key_file import KeyFile
from service.auth.keys import KeySet, verify
from service.auth.principal import Scope
from service.errors import InvalidKeyFile, NotAuthorised
from service.observability.observer import Observer
from tests.builders.service.auth import api_keys


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_new_file_is_for_its_owner_alone(path: Path) -> None:
    api_keys.add(path, "pacs")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["keys.json"]


def test_a_file_that_is_replaced_keeps_its_readers_and_no_other_bits(path: Path) -> None:
    api_keys.add(path, "pacs")
    path.chmod(0o666)
    api_keys.add(path, "other")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_root_does_not_take_the_file_from_the_service(path: Path) -> None:
    api_keys.add(path, "pacs")
    os.chown(path, 10001, 10001)
    api_keys.add(path, "other")
    assert (path.stat().st_uid, path.stat().st_gid) == (10001, 10001)


def test_changes_of_several_processes_are_all_kept(path: Path) -> None:
    threads = [threading.Thread(target=api_keys.add, args=(path, f"c{n}")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.owner for key in key_file.read(path).keys} == {f"c{n}" for n in range(8)}


def test_a_change_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    api_keys.add(path, "pacs")
    before = path.read_bytes()

    def fail(_: KeySet) -> KeySet:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        key_file.change(path, fail)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["keys.json"]


def test_a_running_service_follows_the_file(path: Path) -> None:
    first, token = api_keys.add(path, "pacs")
    followed = KeyFile(path)
    assert verify(followed.keys, token).owner == "key:pacs"
    _, later = api_keys.add(path, "other", Scope.JOBS)
    api_keys.remove(path, [first])
    followed.refresh()
    assert verify(followed.keys, later).scopes == {Scope.JOBS}
    with pytest.raises(NotAuthorised):
        verify(followed.keys, token)


@pytest.mark.parametrize("broken", [b"{", b"", None], ids=["cut", "empty", "gone"])
def test_a_broken_file_leaves_the_keys_and_is_logged_once(
    path: Path, broken: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    _, token = api_keys.add(path, "pacs")
    followed = KeyFile(path)
    path.unlink() if broken is None else path.write_bytes(broken)
    with caplog.at_level(logging.ERROR, "g2d.access"):
        followed.refresh()
        followed.refresh()
    assert len(caplog.records) == 1
    assert verify(followed.keys, token).owner == "key:pacs"


GOOD = {
    "id": "0" * 16,
    "owner": "pacs",
    "scopes": ["infer"],
    "created": "2026-01-02T00:00:00Z",
    "expires": None,
    "sha256": "0" * 64,
}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"version": 2}',
        json.dumps({"keys": [GOOD | {"scopes": ["root"]}]}).encode(),
        json.dumps({"keys": [GOOD | {"scopes": []}]}).encode(),
        json.dumps({"keys": [GOOD | {"expires": "2026-01-02T00:00:00"}]}).encode(),
        json.dumps({"keys": [GOOD | {"secret": "x"}]}).encode(),
        json.dumps({"keys": [GOOD | {"sha256": "0" * 63}]}).encode(),
        json.dumps({"keys": [GOOD | {"owner": "a\nb"}]}).encode(),
        json.dumps({"keys": [GOOD, GOOD]}).encode(),
    ],
)
def test_a_file_of_something_else_is_refused_in_one_line(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(InvalidKeyFile) as caught:
        KeyFile(path)
    assert "\n" not in str(caught.value)


def test_the_file_of_the_format_is_read(path: Path) -> None:
    path.write_text(json.dumps({"version": 1, "keys": [GOOD]}))
    assert KeyFile(path).keys["0" * 16].owner == "pacs"


def test_a_file_that_is_missing_or_a_folder_is_refused(path: Path) -> None:
    for wrong in (path, path.parent):
        with pytest.raises(InvalidKeyFile, match="g2d keys create"):
            KeyFile(wrong)


def test_an_enormous_file_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**34)
    with pytest.raises(InvalidKeyFile, match="larger"):
        KeyFile(path)


def test_the_observer_is_told_of_keys_that_change(path: Path) -> None:
    class Changes(Observer):
        def __init__(self) -> None:
            self.seen: list[tuple[str, str, str]] = []

        def api_key(self, change: str, key: str, owner: str) -> None:
            self.seen.append((change, key, owner))

    kept, _ = api_keys.add(path, "kept")
    gone, _ = api_keys.add(path, "gone")
    changes = Changes()
    followed = KeyFile(path, changes)
    api_keys.remove(path, [gone])
    made, _ = api_keys.add(path, "made")
    path.write_text(path.read_text().replace('"owner": "kept"', '"owner": "renamed"'))
    followed.refresh()
    followed.refresh()
    assert changes.seen == [
        ("revoked", gone.id, "gone"),
        ("changed", kept.id, "renamed"),
        ("created", made.id, "made"),
    ]
    path.write_text("{")
    followed.refresh()
    assert len(changes.seen) == 3
