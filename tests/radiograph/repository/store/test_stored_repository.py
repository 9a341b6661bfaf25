"""Versions and aliases in a store: whole or absent, checked by digest, one writer at a time."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from radiograph.errors import (
    AliasConflict,
    InvalidVersion,
    ModelNotFound,
    PublishRefused,
    StoreConflict,
    StoreUnavailable,
)
from radiograph.manifest import ModelManifest
from radiograph.repository.integrity.signatures import SecretKey, SignaturePolicy, TrustedKeys
from radiograph.repository.repository import Repository
from radiograph.repository.store.object_store import ObjectStore
from radiograph.repository.store.stored_repository import StoredRepository
from tests.builders.files.s3_server import S3Server, s3_server
from tests.builders.models.faults.publishers import child
from tests.builders.models.versions.small_version import NAME, manifest_of, write_stage

BUCKET = "bucket"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture
def location(server: S3Server, tmp_path: Path) -> str:
    return f"s3://{BUCKET}/{tmp_path.name}"


def replica(location: str, folder: Path) -> StoredRepository:
    """A machine with a mirror of its own."""
    return StoredRepository(ObjectStore(location), folder)


@pytest.fixture
def here(location: str, tmp_path: Path) -> StoredRepository:
    return replica(location, tmp_path / "here")


@pytest.fixture
def there(location: str, tmp_path: Path) -> StoredRepository:
    return replica(location, tmp_path / "there")


def keys(location: str) -> set[str]:
    """The objects of a location, without the location."""
    prefix = location.removeprefix(f"s3://{BUCKET}/")
    found = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return {item["Key"].removeprefix(f"{prefix}/") for item in found}


def files_of(folder: Path) -> set[Path]:
    """Return what is below a folder, apart from locks."""
    found = {path.relative_to(folder) for path in folder.rglob("*")}
    return {path for path in found if path.suffix != ".lock"}


def test_a_published_version_is_found_whole_elsewhere(
    here: StoredRepository, there: StoredRepository, stage: Path
) -> None:
    assert here.publish(NAME, stage, manifest_of(stage), "stable") == 1
    there.refresh()
    assert there.resolve(NAME, "stable") == 1
    assert there.verify(NAME, 1).pinned
    assert there.digest(NAME, 1) == here.digest(NAME, 1)


def test_numbers_grow_across_machines(
    here: StoredRepository, there: StoredRepository, stage: Path
) -> None:
    assert here.publish(NAME, stage, manifest_of(stage)) == 1
    assert there.publish(NAME, stage, manifest_of(stage)) == 2
    assert there.versions(NAME) == [1, 2]


def test_aliases_move_and_roll_back_across_machines(
    here: StoredRepository, there: StoredRepository, stage: Path
) -> None:
    for _ in range(2):
        here.publish(NAME, stage, manifest_of(stage), "stable")
    there.refresh()
    assert there.aliases(NAME) == {"stable": 2}
    assert there.rollback(NAME, "stable", expected=2) == 1
    here.refresh()
    assert here.aliases(NAME) == {"stable": 1}
    with pytest.raises(AliasConflict):
        here.set_alias(NAME, "stable", 1, expected=2)


def test_of_two_writers_that_read_the_same_aliases_the_second_is_refused(
    here: StoredRepository, there: StoredRepository, stage: Path
) -> None:
    here.publish(NAME, stage, manifest_of(stage))
    there.refresh()
    file = there._alias_file(NAME)
    with file.locked() as history:
        here.set_alias(NAME, "canary", 1)
        with pytest.raises(AliasConflict, match="another writer"):
            file.replace(history.changed("stable", 1, "set"))
    there.refresh()
    assert there.aliases(NAME) == {"canary": 1}


@pytest.mark.parametrize("exists", [False, True])
def test_a_file_that_changed_since_it_was_read_is_not_replaced(location: str, exists: bool) -> None:
    store = ObjectStore(location)
    if exists:
        store.replace(NAME, "x", b"0", None)
    before = store.read(NAME, "x")
    store.replace(NAME, "x", b"1", before)
    with pytest.raises(StoreConflict):
        store.replace(NAME, "x", b"2", before)
    now = store.read(NAME, "x")
    assert now is not None
    assert now.data == b"1"


def test_a_publisher_that_is_overtaken_takes_the_next_number(
    here: StoredRepository, there: StoredRepository, stage: Path
) -> None:
    build, overtaken = manifest_of(stage), iter([True])

    def slow(number: int) -> ModelManifest:
        if next(overtaken, False):
            there.publish(NAME, stage, build)
        return build(number)

    assert here.publish(NAME, stage, slow) == 2
    assert here.versions(NAME) == [1, 2]


KILLED = """
from radiograph.manifest import ModelManifest
from radiograph.repository.store.object_store import ObjectStore
from radiograph.repository.store.stored_repository import StoredRepository
ObjectStore.replace = stop
repository = StoredRepository(ObjectStore(sys.argv[3]), Path(sys.argv[1]))
repository.publish(NAME, stage, manifest_of(stage))
"""


def test_a_publisher_that_is_killed_before_the_index_leaves_nothing_visible(
    location: str, there: StoredRepository, stage: Path, tmp_path: Path
) -> None:
    with child(KILLED, tmp_path / "killed", stage, location) as publisher:
        assert publisher.stdout is not None
        assert publisher.stdout.readline() == "here\n"
        publisher.send_signal(signal.SIGKILL)
    assert {key.split("/")[1] for key in keys(location)} == {"blobs"}
    there.refresh()
    assert there.names() == []
    assert there.publish(NAME, stage, manifest_of(stage), "stable") == 1
    there.verify(NAME, 1)


def damage(location: str, digest: str) -> None:
    key = f"{location.removeprefix(f's3://{BUCKET}/')}/{NAME}/blobs/{digest}"
    boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"something else")


def test_a_damaged_object_is_refused_and_the_rest_goes_on(
    here: StoredRepository, there: StoredRepository, location: str, stage: Path, tmp_path: Path
) -> None:
    here.publish(NAME, stage, manifest_of(stage), "stable")
    other = write_stage(tmp_path / "other", b"another golden")
    here.publish(NAME, other, manifest_of(other), "canary")
    damage(location, here.load_manifest(NAME, 2).files["golden.npz"])
    with pytest.raises(InvalidVersion, match=f"{NAME}/2: .* damaged"):
        there.refresh()
    assert there.versions(NAME) == [1]
    assert there.aliases(NAME) == {"stable": 1, "canary": 2}
    here.refresh()  # it has the version already
    here.verify(NAME, 2)


def test_a_damaged_object_that_was_repaired_is_fetched(
    here: StoredRepository, there: StoredRepository, location: str, stage: Path
) -> None:
    here.publish(NAME, stage, manifest_of(stage))
    digest = here.load_manifest(NAME, 1).files["golden.npz"]
    damage(location, digest)
    with pytest.raises(InvalidVersion):
        there.refresh()
    ObjectStore(location)._files.put_file(
        str(stage / "golden.npz"), there._store._blob(NAME, digest)
    )
    there.refresh()
    there.verify(NAME, 1)


def test_a_mirror_that_is_not_intact_is_fetched_again(
    here: StoredRepository, location: str, stage: Path
) -> None:
    here.publish(NAME, stage, manifest_of(stage))
    (here.folder(NAME, 1) / "golden.npz").write_bytes(b"something else")
    again = replica(location, here.root)
    again.refresh()
    again.verify(NAME, 1)


def test_a_missing_object_is_refused(
    here: StoredRepository, there: StoredRepository, location: str, stage: Path
) -> None:
    here.publish(NAME, stage, manifest_of(stage))
    prefix = location.removeprefix(f"s3://{BUCKET}/")
    key = f"{prefix}/{NAME}/blobs/{here.digest(NAME, 1)}"
    boto3.client("s3").delete_object(Bucket=BUCKET, Key=key)
    with pytest.raises(InvalidVersion, match="lacks blob"):
        there.refresh()
    assert there.names() == []


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"digests": {"1": "../../x"}})])
def test_an_index_that_is_none_is_refused(
    there: StoredRepository, location: str, text: str
) -> None:
    ObjectStore(location).replace(NAME, "index.json", text.encode(), None)
    with pytest.raises(InvalidVersion, match="is not valid"):
        there.refresh()
    assert there.names() == []


@pytest.mark.parametrize(
    "object_name",
    ["index.json", "aliases.json", "1", "..", ".mirror.lock", "1.minisig.", "0.minisig"],
)
def test_an_object_beside_the_signatures_is_no_file_of_the_mirror(
    here: StoredRepository,
    there: StoredRepository,
    location: str,
    stage: Path,
    object_name: str,
) -> None:
    here.publish(NAME, stage, manifest_of(stage))
    before = files_of(here.root / NAME)
    ObjectStore(location).replace(NAME, f"signatures/{object_name}", b'{"digests": {}}', None)
    there.refresh()
    assert files_of(there.root / NAME) == before
    assert there.verify(NAME, 1).pinned


def test_a_store_that_is_gone_leaves_the_mirror_and_comes_back(
    here: StoredRepository, there: StoredRepository, server: S3Server, stage: Path
) -> None:
    here.publish(NAME, stage, manifest_of(stage), "stable")
    there.refresh()
    server.stop()
    try:
        with pytest.raises(StoreUnavailable):
            there.refresh()
        with pytest.raises(StoreUnavailable):
            there.set_alias(NAME, "new", 1)
        there.verify(NAME, there.resolve(NAME, "stable"))
    finally:
        server.start()
    there.refresh()
    assert there.publish(NAME, stage, manifest_of(stage)) == 2


def test_a_bucket_that_does_not_exist_is_no_empty_store(server: S3Server, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        replica("s3://nowhere/models", tmp_path).refresh()


@pytest.mark.parametrize("location", ["s3://", "s3:///", "http://bucket/x", "s3x://bucket"])
def test_a_location_that_is_none_is_refused(location: str) -> None:
    with pytest.raises(StoreUnavailable, match="BUCKET"):
        ObjectStore(location)


def test_a_name_that_is_none_is_refused(here: StoredRepository, stage: Path) -> None:
    with pytest.raises(PublishRefused, match="name"):
        here.publish("../small", stage, manifest_of(stage))


def test_nothing_is_fetched_twice(
    here: StoredRepository, there: StoredRepository, stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.publish(NAME, stage, manifest_of(stage))
    there.refresh()
    monkeypatch.setattr(ObjectStore, "read", None)
    monkeypatch.setattr(ObjectStore, "get_blob", None)
    there.refresh()


def test_a_folder_is_uploaded_with_its_numbers_and_aliases(
    three: Repository, here: StoredRepository, there: StoredRepository
) -> None:
    three.set_alias(NAME, "stable", 2)
    assert here.upload(three, NAME) == [1, 2, 3]
    assert here.upload(three, NAME) == []
    there.refresh()
    assert there.versions(NAME) == [1, 2, 3]
    assert there.aliases(NAME) == {"stable": 2}
    assert there.digest(NAME, 3) == three.digest(NAME, 3)
    with pytest.raises(ModelNotFound):
        there.resolve("other")


def test_a_signature_goes_with_its_version(
    here: StoredRepository, location: str, stage: Path, tmp_path: Path
) -> None:
    key = SecretKey.new()
    key.write(tmp_path / "publisher.key")
    here.publish(NAME, stage, manifest_of(stage))
    here.sign(NAME, 1, key)
    keys = TrustedKeys.read(tmp_path / "publisher.key.pub")
    policy = SignaturePolicy(keys, required=True)
    there = StoredRepository(ObjectStore(location), tmp_path / "there", policy)
    there.refresh()
    there.verify(NAME, 1)
