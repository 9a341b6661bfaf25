"""The reconciler serves what is desired and loaded, and frees what nothing needs."""

import logging
from pathlib import Path

import pytest

from radiograph.errors import InvalidVersion
from radiograph.repository.repository import Repository
from service.errors import BackendUnavailable
from service.registry.loading.loaded_versions import fingerprint
from service.registry.lookup import VersionLookup
from service.registry.reconciler import Reconciler
from service.registry.state import State
from service.settings import ModelSettings
from tests.builders.service.registry.fake_loader import fake_version, publish
from tests.builders.service.registry.version_log import VersionLog

ONE, TWO = ("small", 1), ("small", 2)
SETTINGS = ModelSettings(default_model="small", keep_retired=0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two versions, the first as `stable`."""
    publish(tmp_path, "stable")
    publish(tmp_path)
    return tmp_path


@pytest.fixture
def log() -> VersionLog:
    return VersionLog()


@pytest.fixture
def lookup() -> VersionLookup:
    return VersionLookup(SETTINGS)


@pytest.fixture
def reconciler(root: Path, lookup: VersionLookup, log: VersionLog) -> Reconciler:
    return Reconciler(Repository(root), SETTINGS, lookup, log)


def load(reconciler: Reconciler, root: Path, key: tuple[str, int]) -> None:
    files = fingerprint(Repository(root), key)
    reconciler.record_loaded(key, files, fake_version(key[1]), 0.5)


def test_what_is_desired_but_not_loaded_is_returned_and_listed_as_loading(
    reconciler: Reconciler, root: Path, lookup: VersionLookup
) -> None:
    Repository(root).set_alias("small", "canary", 2)
    assert reconciler.reconcile() == [ONE, TWO]
    assert [status.state for status in lookup.versions()] == [State.LOADING, State.LOADING]


def test_a_loaded_version_answers_after_the_next_reconciliation(
    reconciler: Reconciler, root: Path, lookup: VersionLookup, log: VersionLog
) -> None:
    reconciler.reconcile()
    load(reconciler, root, ONE)
    assert lookup.answering("small", "stable") is None
    assert reconciler.reconcile() == []
    assert lookup.answering("small", "stable") == 1
    assert (log.versions, log.moves) == ([(1, "ready")], [("stable", 1)])


def test_a_change_of_nothing_publishes_the_same_and_reports_nothing(
    reconciler: Reconciler, root: Path, log: VersionLog
) -> None:
    load(reconciler, root, ONE)
    for _ in range(3):
        reconciler.reconcile()
    assert (log.versions, log.moves) == ([(1, "ready")], [("stable", 1)])


def test_moving_an_alias_is_served_in_the_same_step(
    reconciler: Reconciler, root: Path, lookup: VersionLookup, log: VersionLog
) -> None:
    load(reconciler, root, ONE)
    reconciler.reconcile()
    load(reconciler, root, TWO)
    reconciler.set_alias("small", "stable", 2, expected=1)
    assert lookup.answering("small", "stable") == 2
    assert log.freed.acquire(timeout=60)  # version 1, for nothing is kept here


def test_rolling_back_is_served_in_the_same_step(
    reconciler: Reconciler, root: Path, lookup: VersionLookup
) -> None:
    Repository(root).set_alias("small", "stable", 2)
    load(reconciler, root, ONE)
    assert reconciler.roll_back("small", "stable", expected=2) == 1
    assert lookup.answering("small", "stable") == 1


def test_a_pinned_version_stays_loaded_without_an_alias(
    reconciler: Reconciler, root: Path, log: VersionLog
) -> None:
    with reconciler.pin(TWO), reconciler.pin(TWO):
        load(reconciler, root, TWO)
        reconciler.reconcile()
        assert reconciler.is_sound(TWO)
    assert (2, "freed") not in log.versions
    reconciler.reconcile()
    assert not reconciler.is_sound(TWO)
    assert log.freed.acquire(timeout=60)


def test_acquiring_holds_a_loaded_version_alone(reconciler: Reconciler, root: Path) -> None:
    assert reconciler.acquire(ONE) is None
    load(reconciler, root, ONE)
    version = reconciler.acquire(ONE)
    assert version is not None
    reconciler.close()
    assert not version.is_free
    version.release()
    assert version.is_free


def test_a_failure_is_shown_and_not_tried_again_until_the_files_change(
    reconciler: Reconciler, root: Path, lookup: VersionLookup, log: VersionLog
) -> None:
    files = fingerprint(Repository(root), ONE)
    reconciler.record_failure(ONE, files, InvalidVersion("small/1: damaged"))
    assert reconciler.reconcile() == []
    assert lookup.find().reason == "small/1: damaged"
    assert log.versions == [(1, "failed")]
    (root / "small/1/trunk.onnx").touch()
    (root / "small/1/more").touch()
    assert reconciler.reconcile() == [ONE]


def test_a_failure_of_the_backend_is_tried_again(reconciler: Reconciler, root: Path) -> None:
    files = fingerprint(Repository(root), ONE)
    reconciler.record_failure(ONE, files, BackendUnavailable("Triton cannot be reached"))
    assert reconciler.reconcile() == [ONE]


def test_an_unexpected_error_is_logged_but_not_shown(
    reconciler: Reconciler, root: Path, lookup: VersionLookup, caplog: pytest.LogCaptureFixture
) -> None:
    reconciler.record_failure(ONE, None, ZeroDivisionError("/secret/path"))
    reconciler.reconcile()
    assert lookup.find().reason == "unexpected error, see the log"
    assert "ZeroDivisionError: /secret/path" in caplog.text


def test_every_change_is_logged(
    reconciler: Reconciler, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "g2d.loading")
    load(reconciler, root, ONE)
    reconciler.reconcile()
    load(reconciler, root, TWO)
    reconciler.set_alias("small", "stable", 2, None)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[:2] == ["small/1 is ready after 0.50 s", "small: stable is answered by 1"]
    assert "small/1 is retired" in lines
    assert "small: stable is answered by 2" in lines


def test_after_closing_nothing_is_routed(
    reconciler: Reconciler, root: Path, lookup: VersionLookup, log: VersionLog
) -> None:
    load(reconciler, root, ONE)
    reconciler.reconcile()
    reconciler.close()
    assert lookup.versions() == ()
    assert log.versions[-1] == (1, "freed")
