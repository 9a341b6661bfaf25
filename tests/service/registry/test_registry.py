"""Versions are loaded as the aliases ask, and aliases move only to sound versions."""

import logging
from pathlib import Path

import pytest

from radiograph.errors import AliasConflict, InvalidVersion, ModelNotFound
from radiograph.repository.repository import Repository
from service.errors import RepositoryUnwritable, VersionRefused
from service.registry.state import State
from tests.builders.models.versions import tiny_version
from tests.builders.service.registry import registries
from tests.builders.service.registry.fake_loader import publish, registry_of
from tests.builders.service.registry.registries import states
from tests.builders.service.registry.version_log import VersionLog


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three versions, the first as `stable`."""
    publish(tmp_path, "stable")
    publish(tmp_path)
    publish(tmp_path)
    return tmp_path


@pytest.fixture
def log() -> VersionLog:
    return VersionLog()


# loading


def test_every_version_that_an_alias_points_to_is_loaded(root: Path) -> None:
    Repository(root).set_alias("small", "canary", 3)
    registry = registry_of(root)
    assert states(registry) == {1: State.READY, 3: State.READY}


def test_the_last_of_several_changes_in_quick_succession_is_served(root: Path) -> None:
    def move_on(version: int) -> None:
        if version == 2:  # the alias moves while version 2 loads
            Repository(root).set_alias("small", "stable", 3)

    registry = registry_of(root, move_on)
    Repository(root).set_alias("small", "stable", 2)
    registry.refresh()
    assert states(registry) == {3: State.READY, 1: State.RETIRED}


def test_a_version_at_fault_does_not_stop_the_next_one(root: Path) -> None:
    def fail(version: int) -> None:
        if version == 1:
            raise InvalidVersion("damaged")

    Repository(root).set_alias("small", "canary", 2)
    assert states(registry_of(root, fail)) == {1: State.FAILED, 2: State.READY}


def test_a_version_that_cannot_be_loaded_is_tried_once_a_refresh(
    root: Path, log: VersionLog
) -> None:
    def vanish(version: int) -> None:
        (root / "small/1/manifest.json").unlink(missing_ok=True)
        raise InvalidVersion("gone")

    registry = registry_of(root, vanish, log)
    registry.refresh()
    assert log.loads == [1, 1]


def test_a_missing_default_version_is_an_error_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        registry = registry_of(tmp_path / "nowhere")
    assert registry.lookup.versions() == ()
    assert "no sound version of small as stable" in caplog.text


def test_loading_at_start_ends_even_if_it_fails(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Repository) -> list[str]:
        raise OSError("no disk")

    monkeypatch.setattr(Repository, "names", fail)
    assert registry_of(root).lookup.wait(0)
    assert "loading ended early" in caplog.text


# moving aliases


def test_promoting_loads_the_version_before_the_alias_moves(root: Path, log: VersionLog) -> None:
    pointed: list[int] = []
    registry = registry_of(
        root, lambda _: pointed.append(Repository(root).resolve("small", "stable")), log
    )
    registry.promote("small", "stable", 2, expected=1)
    assert (pointed, registry.pointed("small", "stable")) == ([1, 1], 2)
    assert log.moves == [("stable", 1), ("stable", 2)]


def test_a_version_that_is_refused_moves_nothing(root: Path) -> None:
    def fail(version: int) -> None:
        if version == 2:
            raise InvalidVersion("small/2: damaged")

    registry = registry_of(root, fail)
    with pytest.raises(VersionRefused, match="damaged"):
        registry.promote("small", "stable", 2, expected=1)
    assert registry.pointed("small", "stable") == 1
    assert states(registry) == {1: State.READY}


def test_a_conflict_is_found_before_a_version_is_loaded(root: Path, log: VersionLog) -> None:
    registry = registry_of(root, observer=log)
    with pytest.raises(AliasConflict, match="points to version 1"):
        registry.promote("small", "stable", 2, expected=3)
    with pytest.raises(AliasConflict, match="points to version none"):
        registry.promote("small", "canary", 2, expected=3)
    assert log.loads == [1]


def test_a_version_that_was_loaded_in_vain_is_freed(root: Path, log: VersionLog) -> None:
    def move_first(version: int) -> None:
        if version == 2:
            Repository(root).set_alias("small", "stable", 3)

    registry = registry_of(root, move_first, log)
    with pytest.raises(AliasConflict):
        registry.promote("small", "stable", 2, expected=1)
    assert log.freed.acquire(timeout=60)
    assert (2, "freed") in log.versions


@pytest.mark.parametrize("version", [9, 0, -1])
def test_an_unknown_version_cannot_be_promoted(root: Path, version: int) -> None:
    with pytest.raises(ModelNotFound):
        registry_of(root).promote("small", "stable", version, None)


def test_an_alias_that_cannot_be_written_is_an_error_of_the_repository(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Repository, "set_alias", fail)
    registry = registry_of(root)
    with pytest.raises(RepositoryUnwritable, match="Permission denied"):
        registry.promote("small", "stable", 2, None)


def test_a_roll_back_to_a_kept_version_loads_nothing(root: Path, log: VersionLog) -> None:
    registry = registry_of(root, observer=log)
    registry.promote("small", "stable", 2, expected=1)
    assert registry.roll_back("small", "stable", expected=2) == 1
    assert log.loads == [1, 2]


def test_a_roll_back_without_a_version_before_is_not_found(root: Path) -> None:
    with pytest.raises(ModelNotFound):
        registry_of(root).roll_back("small", "stable", None)


def test_pointed_tells_an_unknown_alias_from_broken_aliases(root: Path) -> None:
    registry = registry_of(root)
    with pytest.raises(ModelNotFound, match="no such alias"):
        registry.pointed("small", "other")
    (root / "small/aliases.json").write_bytes(b"{")
    with pytest.raises(VersionRefused):
        registry.pointed("small", "stable")


# holding by number


def test_a_version_without_an_alias_is_loaded_to_be_held_and_freed_afterwards(
    root: Path, log: VersionLog
) -> None:
    registry = registry_of(root, observer=log)
    held = registry.hold("small", 2)
    assert held.analysis.identity.version == 2
    assert states(registry) == {1: State.READY}
    assert (2, "freed") not in log.versions
    held.release()
    assert log.freed.acquire(timeout=60)


def test_a_held_version_outlives_its_alias(root: Path, log: VersionLog) -> None:
    registry = registry_of(root, observer=log, keep_retired=0)
    held = registry.hold("small", 1)
    registry.promote("small", "stable", 2, expected=1)
    assert not held.is_free
    held.release()
    assert log.freed.acquire(timeout=60)


def test_a_version_at_fault_cannot_be_held(root: Path) -> None:
    def fail(version: int) -> None:
        if version == 2:
            raise InvalidVersion("damaged")

    registry = registry_of(root, fail)
    with pytest.raises(InvalidVersion):
        registry.hold("small", 2)
    with pytest.raises(ModelNotFound):
        registry.hold("small", 9)


def test_an_unexpected_error_fails_the_version_without_being_quoted(root: Path) -> None:
    def fail(_: int) -> None:
        raise ZeroDivisionError("/secret/path")

    registry = registry_of(root, fail)
    (status,) = registry.lookup.versions()
    assert (status.state, status.reason) == (State.FAILED, "unexpected error, see the log")
    with pytest.raises(InvalidVersion, match="small/2: unexpected error, see the log"):
        registry.hold("small", 2)


def test_the_default_model_is_listed_first(tmp_path: Path) -> None:
    for name in ("alpha", "tiny", "zulu"):
        tiny_version.publish(tmp_path, name=name)
    registry = registries.load(tmp_path)
    assert [status.name for status in registry.lookup.versions()] == ["tiny", "alpha", "zulu"]


def test_the_shadow_alias_is_loaded_without_being_named_twice(root: Path) -> None:
    Repository(root).set_alias("small", "trial", 2)
    registry = registry_of(root, aliases="stable", shadow_alias="trial")
    assert [status.aliases for status in registry.lookup.versions()] == [("stable",), ("trial",)]
