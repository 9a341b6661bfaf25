"""Versions are tried again only when their files change, and freed when nothing needs them."""

import threading
from pathlib import Path

import pytest

from radiograph.repository.repository import Repository
from service.registry.loading.loaded_versions import LoadedVersions, fingerprint
from tests.builders.service.registry.fake_loader import fake_version, publish
from tests.builders.service.registry.version_log import VersionLog

ONE, TWO = ("small", 1), ("small", 2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two versions."""
    publish(tmp_path)
    publish(tmp_path)
    return tmp_path


@pytest.fixture
def log() -> VersionLog:
    return VersionLog()


@pytest.fixture
def loaded(root: Path, log: VersionLog) -> LoadedVersions:
    return LoadedVersions(Repository(root), log)


def load(loaded: LoadedVersions, root: Path, key: tuple[str, int]) -> None:
    loaded.add(key, fingerprint(Repository(root), key), fake_version(key[1]), 0.0)


def test_a_version_that_was_never_tried_is_not_settled(loaded: LoadedVersions) -> None:
    assert not loaded.is_settled(ONE)


def test_a_loaded_version_is_settled_until_its_files_change(
    loaded: LoadedVersions, root: Path
) -> None:
    load(loaded, root, ONE)
    assert loaded.is_settled(ONE)
    assert loaded.is_sound(ONE)
    with (root / "small/1/trunk.onnx").open("ab") as file:
        file.write(b"\0")
    assert not loaded.is_settled(ONE)
    assert not loaded.is_sound(ONE)


def test_a_failed_version_is_settled_but_not_sound(loaded: LoadedVersions, root: Path) -> None:
    loaded.fail(ONE, fingerprint(Repository(root), ONE), "damaged")
    assert loaded.is_settled(ONE)
    assert not loaded.is_sound(ONE)
    assert loaded.reason(ONE) == "damaged"


def test_a_failure_that_is_not_of_the_files_is_tried_again(loaded: LoadedVersions) -> None:
    loaded.fail(ONE, None, "Triton cannot be reached")
    assert not loaded.is_settled(ONE)


def test_a_loaded_version_whose_folder_has_gone_says_so_and_stays(
    loaded: LoadedVersions, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load(loaded, root, ONE)
    (root / "small/1").rename(root / ".away")
    assert all(loaded.is_settled(ONE) for _ in range(3))
    assert not loaded.is_sound(ONE)
    assert "gone" in str(loaded.reason(ONE))
    assert caplog.text.count("has gone") == 1
    (root / ".away").rename(root / "small/1")
    assert loaded.is_settled(ONE)
    assert loaded.reason(ONE) is None


def test_a_version_that_fails_to_load_anew_stays(loaded: LoadedVersions, root: Path) -> None:
    load(loaded, root, ONE)
    version = loaded.get(ONE)
    loaded.fail(ONE, None, "damaged")
    assert loaded.get(ONE) is version
    assert loaded.reason(ONE) == "damaged"


def test_versions_that_are_not_kept_are_freed_and_forgotten(
    loaded: LoadedVersions, root: Path, log: VersionLog
) -> None:
    load(loaded, root, ONE)
    load(loaded, root, TWO)
    loaded.keep({TWO})
    assert log.freed.acquire(timeout=60)
    assert (loaded.get(ONE), log.versions) == (None, [(1, "freed")])
    assert not loaded.is_settled(ONE)
    assert loaded.get(TWO) is not None


def test_a_version_that_is_loaded_anew_frees_the_one_before_at_the_next_keep(
    loaded: LoadedVersions, root: Path, log: VersionLog
) -> None:
    load(loaded, root, ONE)
    before = loaded.get(ONE)
    assert before is not None
    load(loaded, root, ONE)
    was_free = before.is_free
    loaded.keep({ONE})
    assert (was_free, before.is_free) == (False, True)
    assert loaded.get(ONE) is not before


def test_a_version_is_freed_off_the_thread_of_its_last_holder(
    loaded: LoadedVersions, log: VersionLog
) -> None:
    threads: list[str] = []
    closing = fake_version(1, lambda: threads.append(threading.current_thread().name))
    loaded.add(ONE, None, closing, 0.0)
    loaded.keep(())
    assert log.freed.acquire(timeout=60)
    assert threads[0].startswith("freeing")


def test_a_version_that_cannot_be_freed_is_logged_and_stops_no_other(
    loaded: LoadedVersions, log: VersionLog, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise OSError("stuck")

    loaded.add(ONE, None, fake_version(1, fail), 0.0)
    loaded.add(TWO, None, fake_version(2), 0.0)
    loaded.keep({TWO})
    loaded.keep(())
    assert log.freed.acquire(timeout=60)
    assert log.versions == [(2, "freed")]
    assert "small/1 could not be freed" in caplog.text


def test_the_last_holder_after_closing_frees_the_version_itself(
    loaded: LoadedVersions, log: VersionLog
) -> None:
    loaded.add(ONE, None, fake_version(1), 0.0)
    version = loaded.get(ONE)
    assert version is not None
    assert version.acquire()
    loaded.keep(())
    loaded.close()
    assert log.versions == []
    version.release()
    assert log.versions == [(1, "freed")]


def test_a_folder_with_a_link_has_no_fingerprint(root: Path) -> None:
    assert fingerprint(Repository(root), ONE) is not None
    (root / "small/1/extra").symlink_to("/etc/passwd")
    assert fingerprint(Repository(root), ONE) is None
