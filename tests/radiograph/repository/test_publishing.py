"""A version is published completely or not at all, also by concurrent or killed publishers."""

import errno
import hashlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from radiograph.errors import (
    ModelNotFound,
    PublishRefused,
)
from radiograph.manifest import ModelManifest
from radiograph.repository.repository import Repository, digest_files
from tests.builders.models.faults.publishers import child, race, visible
from tests.builders.models.versions.small_version import GRAPH, NAME, manifest_of

EXTERNAL = bytes.fromhex("3a04 2a02 7001")  # graph { initializer { data_location: EXTERNAL } }


# publish and read


def test_a_published_version_holds_the_files_and_the_manifest(
    repository: Repository, stage: Path
) -> None:
    assert repository.publish(NAME, stage, manifest_of(stage)) == 1
    assert repository.names() == [NAME]
    assert repository.versions(NAME) == [1]
    assert digest_files(repository.folder(NAME, 1)) == digest_files(stage)
    manifest = repository.load_manifest(NAME, 1)
    assert (manifest.name, manifest.version, manifest.files) == (NAME, 1, digest_files(stage))
    repository.verify(NAME, 1)


def test_numbers_grow_and_nothing_else_is_left(
    repository: Repository, publish: Callable[[], int]
) -> None:
    assert [publish() for _ in range(10)] == list(range(1, 11))
    assert repository.versions(NAME) == list(range(1, 11))  # as numbers, not as words
    assert visible(repository.root / NAME) == sorted(str(n) for n in range(1, 11))


def test_the_stage_is_left_as_it_was(stage: Path, publish: Callable[[], int]) -> None:
    before = digest_files(stage)
    publish()
    assert digest_files(stage) == before


def test_the_digest_of_a_version_is_that_of_its_manifest(
    repository: Repository, publish: Callable[[], int]
) -> None:
    publish()
    text = (repository.folder(NAME, 1) / "manifest.json").read_bytes()
    assert repository.digest(NAME, 1) == hashlib.sha256(text).hexdigest()


def test_others_may_read_what_was_published(
    repository: Repository, publish: Callable[[], int]
) -> None:
    before = os.umask(0o022)
    try:
        publish()
    finally:
        os.umask(before)
    folder = repository.folder(NAME, 1)
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (folder / "heads" / "findings.onnx").stat().st_mode & 0o777 == 0o644


def test_digest_files_names_every_file_but_the_manifest(stage: Path) -> None:
    (stage / "manifest.json").write_text("{}")
    assert digest_files(stage) == {
        "golden.npz": hashlib.sha256(b"golden").hexdigest(),
        "heads/findings.onnx": hashlib.sha256(GRAPH).hexdigest(),
        "trunk.onnx": hashlib.sha256(GRAPH).hexdigest(),
    }


def test_a_number_that_an_alias_ever_had_is_not_given_again(
    repository: Repository, stage: Path
) -> None:
    repository.publish(NAME, stage, manifest_of(stage))
    repository.publish(NAME, stage, manifest_of(stage), alias="stable")
    folder = repository.folder(NAME, 2)
    folder.rename(folder.parent.parent / "away")
    assert repository.publish(NAME, stage, manifest_of(stage)) == 3


# refused publishes


def refused(repository: Repository, stage: Path, match: str, **changes: object) -> None:
    with pytest.raises(PublishRefused, match=match):
        repository.publish(NAME, stage, manifest_of(stage, **changes))
    assert repository.versions(NAME) == []
    assert not (repository.root / NAME).exists() or visible(repository.root / NAME) == []


@pytest.mark.parametrize("name", ["../x", "..", "", "/x", "X", "a/b", "a\0b", "é", "a\n", "x" * 99])
def test_a_name_that_is_not_a_folder_name_is_refused(
    repository: Repository, stage: Path, name: str
) -> None:
    with pytest.raises(PublishRefused, match="not a model name"):
        repository.publish(name, stage, manifest_of(stage))
    assert not repository.root.exists()


def test_a_manifest_of_another_number_or_name_is_refused(
    repository: Repository, stage: Path
) -> None:
    refused(repository, stage, "the manifest is of small/7", version=7)
    refused(repository, stage, "the manifest is of large/1", name="large")


def test_a_manifest_with_wrong_digests_is_refused(repository: Repository, stage: Path) -> None:
    files = digest_files(stage)
    refused(repository, stage, "golden.npz does not have", files={**files, "golden.npz": "0" * 64})
    refused(repository, stage, "files are missing: x", files={**files, "x": "0" * 64})
    (stage / "surprise").write_bytes(b"")
    refused(repository, stage, "does not name: surprise", files=files)


def test_a_manifest_that_json_cannot_represent_is_refused(
    repository: Repository, stage: Path
) -> None:
    metric = {"data": "d", "split": "test", "task": "classify", "label": "x", "metric": "auc"}
    interval = {"value": float("nan"), "low": 0.0, "high": 1.0, "n": 3}
    provenance = {
        "commit": "x",
        "configuration": {},
        "data": [],
        "metrics": [{**metric, **interval}],
    }
    refused(repository, stage, r"metrics\.0\.value", provenance=provenance)


def test_a_graph_with_values_in_another_file_is_refused(
    repository: Repository, stage: Path
) -> None:
    (stage / "trunk.onnx").write_bytes(EXTERNAL)
    refused(repository, stage, "trunk.onnx keeps values in another file")


def test_a_graph_with_another_suffix_is_checked_too(repository: Repository, stage: Path) -> None:
    (stage / "trunk.bin").write_bytes(EXTERNAL)
    trunk = {"file": "trunk.bin", "outputs": ["global_features"]}
    refused(repository, stage, "trunk.bin keeps values in another file", trunk=trunk)


def test_a_file_that_is_not_a_graph_is_refused(repository: Repository, stage: Path) -> None:
    (stage / "trunk.onnx").write_bytes(b"<html>not found</html>")
    refused(repository, stage, "trunk.onnx is not an ONNX graph")


def test_links_and_pipes_in_the_files_are_refused(repository: Repository, stage: Path) -> None:
    build = manifest_of(stage)(1)
    (stage / "link").symlink_to("/etc/passwd")
    with pytest.raises(PublishRefused, match="link is a link or a special file"):
        repository.publish(NAME, stage, lambda _: build)
    (stage / "link").unlink()
    os.mkfifo(stage / "pipe")
    with pytest.raises(PublishRefused, match="pipe is a link or a special file"):
        repository.publish(NAME, stage, lambda _: build)
    assert repository.names() == []


def test_a_stage_with_a_manifest_or_that_does_not_exist_is_refused(
    repository: Repository, stage: Path, tmp_path: Path
) -> None:
    (stage / "manifest.json").write_text("{}")
    refused(repository, stage, r"already include a manifest\.json")
    with pytest.raises(PublishRefused, match="No such file"):
        repository.publish(NAME, tmp_path / "nowhere", manifest_of(stage))


def test_a_check_that_fails_gives_the_number_back(
    repository: Repository, stage: Path, publish: Callable[[], int]
) -> None:
    def gate(number: int) -> ModelManifest:
        raise PublishRefused(f"version {number} is worse than stable")

    with pytest.raises(PublishRefused, match="version 1 is worse"):
        repository.publish(NAME, stage, gate)
    assert visible(repository.root / NAME) == []
    assert publish() == 1


def test_an_invalid_alias_name_is_refused_before_anything_is_published(
    repository: Repository, stage: Path
) -> None:
    for alias in ("3", "../x", "", "Stable", "a\n"):
        with pytest.raises(ModelNotFound, match="not a valid alias name"):
            repository.publish(NAME, stage, manifest_of(stage), alias=alias)
    assert repository.names() == []


def test_corrupt_aliases_are_kept_and_refuse_the_publish(
    repository: Repository, stage: Path, publish: Callable[[], int]
) -> None:
    publish()
    (repository.root / NAME / "aliases.json").write_text("{")
    with pytest.raises(PublishRefused, match=r"nothing was published: aliases\.json"):
        repository.publish(NAME, stage, manifest_of(stage), alias="stable")
    assert repository.versions(NAME) == [1]
    assert (repository.root / NAME / "aliases.json").read_text() == "{"


def test_a_model_folder_that_is_a_file_refuses_the_publish(
    repository: Repository, stage: Path
) -> None:
    repository.root.mkdir()
    (repository.root / NAME).write_text("")
    with pytest.raises(PublishRefused, match="Not a directory"):
        repository.publish(NAME, stage, manifest_of(stage))


def test_the_next_number_is_above_every_number_in_the_folder(
    repository: Repository, version: Path, publish: Callable[[], int]
) -> None:
    (version.parent / "7").write_text("a file where a folder should be")
    (version.parent / "0012").mkdir()
    (version.parent / "0012" / "x").touch()
    assert publish() == 13


def test_a_model_without_a_free_number_is_refused(
    repository: Repository, version: Path, stage: Path
) -> None:
    (version.parent / "999999999").touch()
    with pytest.raises(PublishRefused, match="no version number is left"):
        repository.publish(NAME, stage, manifest_of(stage))


def test_publishing_to_a_read_only_disk_is_refused(
    repository: Repository, stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PublishRefused, match="Read-only file system"):
        repository.publish(NAME, stage, manifest_of(stage))


# a full disk, a kill, a race


@pytest.mark.parametrize("calls", range(10))
def test_a_full_disk_leaves_nothing_whenever_it_fills(
    repository: Repository, stage: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    left, sync = iter(range(calls)), os.fsync

    def fill(descriptor: int) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fill)
        with pytest.raises((PublishRefused, OSError), match="No space left on device") as caught:
            repository.publish(NAME, stage, manifest_of(stage))
    published = not isinstance(caught.value, PublishRefused)
    assert published == (calls == 9)  # then only the parent's name was not surely on the disk
    assert visible(repository.root / NAME) == (["1"] if published else [])


def test_a_file_that_does_not_fit_leaves_nothing(
    repository: Repository, stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr("shutil.copyfileobj", fill)
        refused(repository, stage, "nothing was published: No space left on device")
    assert repository.publish(NAME, stage, manifest_of(stage)) == 1


@pytest.mark.parametrize(
    "moment",
    [
        "import shutil; shutil.copyfileobj = stop",
        "Path.rename = stop",
        "manifest_of = lambda _: stop",
    ],
    ids=["copying", "before the rename", "in a gate"],
)
def test_kill_9_while_publishing_leaves_nothing_visible(
    repository: Repository, stage: Path, publish: Callable[[], int], moment: str
) -> None:
    publish()
    code = f"{moment}\nrepository.publish(NAME, stage, manifest_of(stage))"
    with child(code, repository.root, stage) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert repository.versions(NAME) == [1]
    repository.verify(NAME, 1)
    with pytest.raises(ModelNotFound):
        repository.resolve(NAME, 2)
    # What the killed one left is cleared away. A number that it had pinned is not given again.
    number = 3 if moment.startswith("Path.rename") else 2
    assert publish() == number
    assert visible(repository.root / NAME) == ["1", str(number)]


def test_the_files_of_a_running_publisher_are_not_removed(
    repository: Repository, stage: Path, publish: Callable[[], int]
) -> None:
    code = """
def build(number):
    print(number, flush=True)
    sys.stdin.readline()
    return manifest_of(stage)(number)
repository.publish(NAME, stage, build)
"""
    with child(code, repository.root, stage) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "1\n"
        assert publish() == 2
        assert repository.versions(NAME) == [2]
        process.stdin.write("\n")
        process.stdin.close()
        assert process.wait() == 0
    assert repository.versions(NAME) == [1, 2]
    repository.verify(NAME, 1)


def test_concurrent_publishers_get_different_numbers(repository: Repository, stage: Path) -> None:
    code = """
print("ready", flush=True)
sys.stdin.readline()
print(*[repository.publish(NAME, stage, manifest_of(stage), alias="stable") for _ in range(8)])
"""
    outputs = race(code, [(repository.root, stage)] * 3)
    numbers = sorted(int(number) for output in outputs for number in output.split())
    assert numbers == list(range(1, 25)) == repository.versions(NAME)
    for number in numbers:
        repository.verify(NAME, number)
    history = json.loads((repository.root / NAME / "aliases.json").read_text())
    assert sorted(c["version"] for c in history["aliases"]["stable"]) == numbers
