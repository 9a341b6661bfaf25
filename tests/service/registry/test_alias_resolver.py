"""Broken aliases leave the desired state as it was; the next table follows from what is loaded."""

import json
from pathlib import Path

import pytest

from radiograph.repository.repository import Repository
from service.observability.observer import NULL_OBSERVER
from service.registry.alias_resolver import AliasResolver, DesiredState, next_table
from service.registry.loading.loaded_versions import LoadedVersions
from service.registry.state import RoutingTable, State
from service.settings import ModelSettings
from tests.builders.service.registry.fake_loader import fake_version, publish

STABLE, CANARY = ("small", "stable"), ("small", "canary")
ONE, TWO, THREE = ("small", 1), ("small", 2), ("small", 3)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three versions, the first as `stable`."""
    publish(tmp_path, "stable")
    publish(tmp_path)
    publish(tmp_path)
    return tmp_path


@pytest.fixture
def resolver(root: Path) -> AliasResolver:
    return AliasResolver(Repository(root), ModelSettings(default_model="small"))


@pytest.fixture
def loaded(root: Path) -> LoadedVersions:
    return LoadedVersions(Repository(root), NULL_OBSERVER)


def add(loaded: LoadedVersions, *keys: tuple[str, int]) -> None:
    for key in keys:
        loaded.add(key, None, fake_version(key[1]), 0.0)


# the desired state


def test_the_aliases_of_the_settings_are_followed_in_their_order(
    root: Path, resolver: AliasResolver
) -> None:
    for alias, version in (("canary", 2), ("trial", 3)):
        Repository(root).set_alias("small", alias, version)
    desired = resolver.desired()
    assert list(desired.targets.items()) == [(STABLE, ONE), (CANARY, TWO)]
    assert desired.faults == {}


def test_an_alias_that_is_taken_away_is_no_longer_desired(
    root: Path, resolver: AliasResolver
) -> None:
    Repository(root).set_alias("small", "canary", 2)
    resolver.desired()
    path = root / "small/aliases.json"
    history = json.loads(path.read_text())
    del history["aliases"]["canary"]
    path.write_text(json.dumps(history))
    assert dict(resolver.desired().targets) == {STABLE: ONE}


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b'{"aliases": {"stable": []}}', None])
def test_broken_aliases_leave_the_desired_state_and_are_logged_once(
    root: Path, resolver: AliasResolver, text: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    before = resolver.desired().targets
    path = root / "small/aliases.json"
    if text is None:
        path.unlink()
    else:
        path.write_bytes(text)
    for _ in range(3):
        desired = resolver.desired()
    assert desired.targets == before
    assert "aliases" in desired.faults["small"]
    assert caplog.text.count("the aliases of small") == 1


def test_a_fault_is_over_when_the_aliases_can_be_read_again(
    root: Path, resolver: AliasResolver
) -> None:
    path = root / "small/aliases.json"
    whole = path.read_bytes()
    path.write_bytes(b"{")
    assert resolver.desired().faults
    path.write_bytes(whole)
    assert resolver.desired() == DesiredState({STABLE: ONE}, {})


def test_a_model_whose_folder_vanishes_stays_desired(root: Path, resolver: AliasResolver) -> None:
    before = resolver.desired().targets
    (root / "small").rename(root / ".away")
    assert resolver.desired().targets == before


# the next table


def test_a_version_that_is_not_loaded_is_loading(loaded: LoadedVersions) -> None:
    table = next_table(RoutingTable(), DesiredState({STABLE: ONE}), loaded, 1)
    assert table.versions[ONE].state is State.LOADING
    assert table.targets == {STABLE: ONE}


def test_a_version_answers_until_the_desired_one_is_loaded(loaded: LoadedVersions) -> None:
    add(loaded, ONE)
    first = next_table(RoutingTable(), DesiredState({STABLE: ONE}), loaded, 1)
    second = next_table(first, DesiredState({STABLE: TWO}), loaded, 1)
    assert second.targets == {STABLE: ONE}
    assert second.versions[ONE].aliases == ("stable",)
    assert second.versions[TWO].wanted_by == ("stable",)
    add(loaded, TWO)
    third = next_table(second, DesiredState({STABLE: TWO}), loaded, 1)
    assert third.targets == {STABLE: TWO}
    assert third.versions[ONE].state is State.RETIRED


def test_an_alias_that_nothing_answers_points_to_the_desired_version(
    loaded: LoadedVersions,
) -> None:
    loaded.fail(ONE, None, "damaged")
    first = next_table(RoutingTable(), DesiredState({STABLE: ONE}), loaded, 1)
    assert (first.versions[ONE].state, first.versions[ONE].reason) == (State.FAILED, "damaged")
    second = next_table(first, DesiredState({STABLE: TWO}), loaded, 1)
    assert second.targets == {STABLE: TWO}


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_each_alias_keeps_the_versions_that_answered_before(
    loaded: LoadedVersions, kept: int
) -> None:
    add(loaded, ONE, TWO, THREE)
    table = RoutingTable()
    for key in (ONE, TWO, THREE):
        table = next_table(table, DesiredState({STABLE: key}), loaded, kept)
    assert table.previous == {STABLE: (TWO, ONE)[:kept]}
    assert list(table.versions) == [THREE, TWO, ONE][: kept + 1]


def test_a_version_that_answers_again_is_not_kept_as_well(loaded: LoadedVersions) -> None:
    add(loaded, ONE, TWO)
    table = RoutingTable()
    for key in (ONE, TWO, ONE):
        table = next_table(table, DesiredState({STABLE: key}), loaded, 2)
    assert table.previous == {STABLE: (TWO,)}


def test_two_aliases_of_one_version_are_listed_together(loaded: LoadedVersions) -> None:
    add(loaded, ONE)
    table = next_table(RoutingTable(), DesiredState({STABLE: ONE, CANARY: ONE}), loaded, 1)
    assert table.versions[ONE].aliases == ("stable", "canary")


def test_the_table_before_is_never_changed(loaded: LoadedVersions) -> None:
    add(loaded, ONE, TWO)
    first = next_table(RoutingTable(), DesiredState({STABLE: ONE}), loaded, 1)
    next_table(first, DesiredState({STABLE: TWO}), loaded, 1)
    assert first.targets == {STABLE: ONE}
    assert list(first.versions) == [ONE]
