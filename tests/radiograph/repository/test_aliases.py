"""Aliases change atomically, keep their history, and can be rolled back."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from radiograph.errors import (
    AliasConflict,
    InvalidVersion,
    ModelNotFound,
    RadiographError,
)
from radiograph.repository.repository import Repository
from tests.builders.models.faults.publishers import race, visible
from tests.builders.models.versions.small_version import NAME, manifest_of

# aliases


def test_an_alias_resolves_to_its_version(three: Repository) -> None:
    three.set_alias(NAME, "stable", 2)
    three.set_alias(NAME, "canary", 3)
    assert three.aliases(NAME) == {"stable": 2, "canary": 3}
    assert three.resolve(NAME) == 2
    assert [three.resolve(NAME, ref) for ref in ("canary", "1", 1)] == [3, 1, 1]


def test_publishing_with_an_alias_moves_it(three: Repository, stage: Path) -> None:
    assert three.publish(NAME, stage, manifest_of(stage), alias="canary") == 4
    assert three.aliases(NAME) == {"canary": 4}


def test_a_roll_back_restores_the_previous_version_and_then_older_ones(three: Repository) -> None:
    for version in (1, 2, 3):
        three.set_alias(NAME, "stable", version)
    assert three.rollback(NAME, "stable") == 2
    assert three.rollback(NAME, "stable") == 1
    assert three.resolve(NAME) == 1
    with pytest.raises(ModelNotFound, match="has no previous version"):
        three.rollback(NAME, "stable")


def test_a_version_set_after_a_roll_back_is_undone_to_the_one_rolled_back_to(
    three: Repository,
) -> None:
    for version in (1, 2):
        three.set_alias(NAME, "stable", version)
    three.rollback(NAME, "stable")
    three.set_alias(NAME, "stable", 3)
    assert three.rollback(NAME, "stable") == 1


def test_every_change_stays_in_the_history(three: Repository) -> None:
    for version in (1, 3, 3):  # the last one changes nothing
        three.set_alias(NAME, "stable", version)
    three.rollback(NAME, "stable")
    text = (three.root / NAME / "aliases.json").read_text()
    moves = [(c["version"], c["action"]) for c in json.loads(text)["aliases"]["stable"]]
    assert moves == [(1, "set"), (3, "set"), (1, "rollback")]


def test_an_alias_that_changed_since_it_was_read_is_a_conflict(three: Repository) -> None:
    three.set_alias(NAME, "stable", 1, expected=0)
    with pytest.raises(AliasConflict, match="points to version 1, not to 0"):
        three.set_alias(NAME, "stable", 2, expected=0)
    three.set_alias(NAME, "stable", 2, expected=1)
    with pytest.raises(AliasConflict):
        three.rollback(NAME, "stable", expected=1)
    with pytest.raises(AliasConflict, match="'canary' points to no version, not to 1"):
        three.set_alias(NAME, "canary", 2, expected=1)
    assert three.aliases(NAME) == {"stable": 2}


def test_exactly_one_of_several_concurrent_changes_succeeds(three: Repository) -> None:
    three.set_alias(NAME, "stable", 1)
    code = """
from radiograph.errors import AliasConflict
print("ready", flush=True)
sys.stdin.readline()
try:
    repository.set_alias(NAME, "stable", int(sys.argv[3]), expected=1)
    print("won")
except AliasConflict:
    print("lost")
"""
    results = race(code, [(three.root, three.root, number) for number in (2, 3, 2, 3)])
    assert sorted(results) == ["lost\n", "lost\n", "lost\n", "won\n"]


def test_an_alias_cannot_point_to_a_missing_or_invalid_version(three: Repository) -> None:
    with pytest.raises(ModelNotFound, match="no version 9"):
        three.set_alias(NAME, "stable", 9)
    (three.folder(NAME, 2) / "manifest.json").write_text("{}")
    with pytest.raises(InvalidVersion):
        three.set_alias(NAME, "stable", 2)
    assert three.aliases(NAME) == {}


def test_a_roll_back_to_a_version_that_is_gone_changes_nothing(three: Repository) -> None:
    three.set_alias(NAME, "stable", 1)
    three.set_alias(NAME, "stable", 2)
    three.folder(NAME, 1).rename(three.root / "away")
    with pytest.raises(ModelNotFound, match="no version 1"):
        three.rollback(NAME, "stable")
    assert three.resolve(NAME) == 2


def test_an_alias_of_a_version_that_is_gone_is_not_found(three: Repository) -> None:
    three.set_alias(NAME, "stable", 3)
    three.folder(NAME, 3).rename(three.root / "away")
    with pytest.raises(ModelNotFound, match="no version 3"):
        three.resolve(NAME)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"stable": 1}',
        '{"aliases": {"stable": []}}',
        '{"aliases": {"../x": [{"version": 1, "action": "set", "at": ""}]}}',
        '{"aliases": {"stable": [{"version": 0, "action": "set", "at": ""}]}}',
        "[" * 100_000,
    ],
)
def test_corrupt_aliases_are_reported_and_never_guessed_or_replaced(
    three: Repository, text: str
) -> None:
    path = three.root / NAME / "aliases.json"
    path.write_text(text)
    calls: list[Callable[[], object]] = [
        lambda: three.aliases(NAME),
        lambda: three.resolve(NAME),
        lambda: three.set_alias(NAME, "stable", 1),
        lambda: three.rollback(NAME, "stable"),
    ]
    for call in calls:
        with pytest.raises(InvalidVersion, match=r"aliases\.json"):
            call()
    assert path.read_text() == text
    assert three.versions(NAME) == [1, 2, 3]
    assert three.resolve(NAME, 3) == 3


def test_an_aliases_folder_or_link_is_corrupt(three: Repository, tmp_path: Path) -> None:
    path = three.root / NAME / "aliases.json"
    path.mkdir()
    with pytest.raises(InvalidVersion):
        three.aliases(NAME)
    path.rmdir()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidVersion):
        three.aliases(NAME)


def test_a_failed_write_leaves_the_aliases_as_they_were(
    three: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    three.set_alias(NAME, "stable", 1)
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fill)
        with pytest.raises(OSError, match="No space"):
            three.set_alias(NAME, "stable", 2)
    assert three.aliases(NAME) == {"stable": 1}
    assert visible(three.root / NAME) == ["1", "2", "3", "aliases.json"]


def test_every_error_of_the_repository_is_a_radiograph_error(repository: Repository) -> None:
    for call in (repository.aliases, repository.resolve):
        with pytest.raises(RadiographError):
            call("nobody")
