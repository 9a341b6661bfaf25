"""A loaded version is freed once, by its last holder; a table finds versions by number or alias."""

import pytest

from service.registry.state import RoutingTable, State, VersionStatus
from tests.builders.service.registry.fake_loader import fake_loaded


def test_an_idle_version_is_freed_when_it_is_retired() -> None:
    freed: list[int] = []
    version = fake_loaded(1, freed)
    version.retire()
    assert freed == [1]
    assert version.is_free


def test_a_held_version_is_freed_by_its_last_holder() -> None:
    freed: list[int] = []
    version = fake_loaded(1, freed)
    assert version.acquire()
    assert version.acquire()
    version.retire()
    version.release()
    assert (freed, version.is_free) == ([], False)
    version.release()
    assert (freed, version.is_free) == ([1], True)


def test_a_retired_version_takes_no_new_holder() -> None:
    version = fake_loaded(1)
    assert version.acquire()
    version.retire()
    assert not version.acquire()


def test_a_version_that_is_retired_twice_is_freed_once() -> None:
    freed: list[int] = []
    version = fake_loaded(1, freed)
    version.retire()
    version.retire()
    assert freed == [1]


def test_releasing_a_version_that_is_not_retired_frees_nothing() -> None:
    freed: list[int] = []
    version = fake_loaded(1, freed)
    assert version.acquire()
    version.release()
    assert freed == []
    assert version.acquire()


@pytest.fixture
def table() -> RoutingTable:
    """`stable` is version 2 and ready, `canary` failed, and version 1 is kept."""
    versions = (
        VersionStatus("small", 2, ("stable",), (), State.READY, None, fake_loaded(2)),
        VersionStatus("small", 3, ("canary",), (), State.FAILED, "a reason"),
        VersionStatus("small", 1, (), (), State.RETIRED, None, fake_loaded(1)),
    )
    return RoutingTable(
        {(status.name, status.version): status for status in versions},
        {("small", "stable"): ("small", 2), ("small", "canary"): ("small", 3)},
    )


@pytest.mark.parametrize(("reference", "version"), [("stable", 2), ("2", 2), ("canary", 3)])
def test_a_version_is_found_by_alias_and_by_number(
    table: RoutingTable, reference: str, version: int
) -> None:
    status = table.find("small", reference)
    assert status is not None
    assert status.version == version


@pytest.mark.parametrize(("name", "reference"), [("small", "4"), ("other", "stable")])
def test_an_unknown_version_is_not_found(table: RoutingTable, name: str, reference: str) -> None:
    assert table.find(name, reference) is None


def test_only_a_ready_version_answers(table: RoutingTable) -> None:
    assert table.ready("small", "stable") is table.find("small", "2")
    assert table.ready("small", "canary") is None
    assert table.ready("small", "1") is None
    assert table.answering == {("small", "stable"): ("small", 2)}


def test_a_kept_version_shows_its_digest_but_no_analysis(table: RoutingTable) -> None:
    status = table.versions["small", 1]
    assert status.analysis is None
    assert (status.digest, status.providers) == ("0" * 64, ("Fake",))
