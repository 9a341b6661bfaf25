"""Versions that the store names no more leave the mirror, and no version that is used does."""

import fcntl
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from radiograph.errors import InvalidVersion, ModelNotFound
from radiograph.repository.integrity.signatures import SecretKey
from radiograph.repository.repository import Repository
from radiograph.repository.store import version_holds
from radiograph.repository.store.object_store import ObjectStore
from radiograph.repository.store.stored_repository import StoredRepository
from tests.builders.files.s3_server import S3Server, s3_server
from tests.builders.models.faults.publishers import child
from tests.builders.models.versions.small_version import NAME


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture
def store(server: S3Server, tmp_path: Path) -> ObjectStore:
    return ObjectStore(f"s3://bucket/{tmp_path.name}")


@pytest.fixture
def mirrored(store: ObjectStore, three: Repository, tmp_path: Path) -> StoredRepository:
    """A machine that has the three versions of a store; `stable` was 1, 2, and then 3."""
    for number in (1, 2, 3):
        three.set_alias(NAME, "stable", number)
    repository = StoredRepository(store, tmp_path / "mirror")
    repository.upload(three, NAME)
    return repository


@pytest.fixture
def withdraw(store: ObjectStore) -> Callable[..., None]:
    """Removes the lines of versions from the index of the store."""

    def change(*numbers: int) -> None:
        before = store.read(NAME, "index.json")
        assert before is not None
        index = json.loads(before.data)
        for number in numbers:
            del index["digests"][str(number)]
        store.replace(NAME, "index.json", json.dumps(index).encode(), before)

    return change


def test_a_withdrawn_version_leaves_the_mirror_with_its_signature(
    mirrored: StoredRepository, withdraw: Callable[..., None]
) -> None:
    key = SecretKey.new()
    withdrawn, kept = (mirrored.sign(NAME, number, key) for number in (1, 3))
    withdraw(1)
    mirrored.refresh()
    assert mirrored.versions(NAME) == [2, 3]
    assert not withdrawn.exists()
    assert kept.exists()
    mirrored.verify(NAME, 3)


def test_versions_that_an_alias_needs_stay_until_it_moves(
    mirrored: StoredRepository, withdraw: Callable[..., None]
) -> None:
    withdraw(1, 2, 3)
    mirrored.refresh()
    assert mirrored.versions(NAME) == [2, 3]  # `stable`, and what it would roll back to
    mirrored.rollback(NAME, "stable")
    mirrored.refresh()
    assert mirrored.versions(NAME) == [2]  # the roll-back to version 1 is gone with it


def test_a_version_that_returns_is_fetched_again(
    mirrored: StoredRepository, store: ObjectStore, withdraw: Callable[..., None]
) -> None:
    whole = store.read(NAME, "index.json")
    assert whole is not None
    withdraw(1)
    mirrored.refresh()
    store.replace(NAME, "index.json", whole.data, store.read(NAME, "index.json"))
    mirrored.refresh()
    mirrored.verify(NAME, 1)


def test_a_version_that_is_held_stays_until_it_is_let_go(
    mirrored: StoredRepository, withdraw: Callable[..., None]
) -> None:
    withdraw(1)
    with mirrored.hold(NAME, 1), mirrored.hold(NAME, 1):
        mirrored.refresh()
        mirrored.verify(NAME, 1)
    mirrored.refresh()  # nothing in the store has changed since
    assert mirrored.versions(NAME) == [2, 3]
    with pytest.raises(ModelNotFound), mirrored.hold(NAME, 1):
        pass


HOLDS = """
from radiograph.repository.store.version_holds import hold
with hold(Path(sys.argv[1])):
    stop()
"""


def test_another_process_holds_a_version_until_it_is_killed(
    mirrored: StoredRepository, withdraw: Callable[..., None], stage: Path
) -> None:
    withdraw(1)
    with child(HOLDS, mirrored.folder(NAME, 1), stage) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "here\n"
        mirrored.refresh()
        assert mirrored.versions(NAME) == [1, 2, 3]
        holder.send_signal(signal.SIGKILL)
    mirrored.refresh()
    assert mirrored.versions(NAME) == [2, 3]


def test_a_version_that_is_removed_while_it_is_to_be_held_is_refused(
    mirrored: StoredRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, lock = mirrored.folder(NAME, 1), fcntl.flock

    def overtaken(*given: Any) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        assert version_holds.remove(folder)
        lock(*given)

    monkeypatch.setattr(fcntl, "flock", overtaken)
    with pytest.raises(ModelNotFound), mirrored.hold(NAME, 1):
        pass


@pytest.mark.parametrize("text", ["{", '{"digests": {"x": 1}}'])
def test_a_damaged_index_removes_nothing(
    mirrored: StoredRepository, store: ObjectStore, text: str
) -> None:
    store.replace(NAME, "index.json", text.encode(), store.read(NAME, "index.json"))
    with pytest.raises(InvalidVersion):
        mirrored.refresh()
    assert mirrored.versions(NAME) == [1, 2, 3]


def test_damaged_aliases_remove_nothing(
    mirrored: StoredRepository, store: ObjectStore, withdraw: Callable[..., None]
) -> None:
    store.replace(NAME, "aliases.json", b"{", store.read(NAME, "aliases.json"))
    withdraw(1)
    mirrored.refresh()
    assert mirrored.versions(NAME) == [1, 2, 3]


@pytest.mark.parametrize("lost", ["index.json", ""], ids=["index", "everything"])
def test_a_store_that_was_emptied_removes_nothing(
    mirrored: StoredRepository, store: ObjectStore, lost: str
) -> None:
    client, prefix = boto3.client("s3"), store.url.removeprefix("s3://bucket/")
    found = client.list_objects_v2(Bucket="bucket", Prefix=f"{prefix}/{NAME}/{lost}")["Contents"]
    for item in found:
        client.delete_object(Bucket="bucket", Key=item["Key"])
    mirrored.refresh()
    assert mirrored.versions(NAME) == [1, 2, 3]


def test_what_killed_processes_left_behind_is_removed(
    mirrored: StoredRepository, store: ObjectStore, withdraw: Callable[..., None]
) -> None:
    folder = mirrored.root / NAME
    for name in (".fetch-1", ".gone-2", ".damaged-3"):
        (folder / name / "heads").mkdir(parents=True)
        (folder / name / "heads" / "findings.onnx").write_bytes(b"some")
    (folder / "notes").mkdir()  # of a person
    withdraw(1)
    StoredRepository(store, mirrored.root).refresh()
    left = {entry.name for entry in folder.iterdir() if entry.is_dir()}
    assert left == {"2", "3", "notes"}
