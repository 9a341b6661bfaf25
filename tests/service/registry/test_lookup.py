"""Requests are routed by one table, hold what they got, and see a new table at once."""

from collections.abc import Callable

import pytest

from radiograph.errors import ModelNotFound
from service.errors import NotReady
from service.registry.lookup import VersionLookup
from service.registry.state import LoadedVersion, RoutingTable, State, VersionStatus
from service.settings import ModelSettings
from tests.builders.service.registry.fake_loader import fake_analysis, fake_loaded


def table_of(targets: dict[str, int], loaded: dict[int, LoadedVersion], *kept: int) -> RoutingTable:
    """Return a table whose versions are ready if loaded, retired if kept, else failed."""
    versions = {}
    for number in dict.fromkeys((*targets.values(), *kept)):
        aliases = tuple(alias for alias, target in targets.items() if target == number)
        state = State.READY if aliases else State.RETIRED
        state = state if number in loaded else State.FAILED
        status = VersionStatus("small", number, aliases, (), state, None, loaded.get(number))
        versions["small", number] = status
    return RoutingTable(
        versions, {("small", alias): ("small", number) for alias, number in targets.items()}
    )


def lookup_of(table: RoutingTable, **settings: object) -> VersionLookup:
    given = {"default_model": "small", **settings}
    lookup = VersionLookup(ModelSettings.model_validate(given))
    lookup.publish(table)
    lookup.end_first_load()
    return lookup


def answering(lookup: VersionLookup, reference: str | None = None, key: str | None = None) -> int:
    with lookup.lease(None, reference, key) as lease:
        return lease.analysis.identity.version


@pytest.fixture
def loaded() -> dict[int, LoadedVersion]:
    return {1: fake_loaded(1), 2: fake_loaded(2)}


def test_a_request_is_answered_by_alias_number_or_default(
    loaded: dict[int, LoadedVersion],
) -> None:
    lookup = lookup_of(table_of({"stable": 1, "canary": 2}, loaded))
    assert [answering(lookup, reference) for reference in (None, "stable", "2")] == [1, 1, 2]
    assert lookup.default_is_ready()
    assert (lookup.answering("small", "canary"), lookup.answering("small", "other")) == (2, None)


def test_a_request_is_answered_by_a_table_that_was_just_published(
    loaded: dict[int, LoadedVersion],
) -> None:
    lookup = lookup_of(table_of({"stable": 1}, loaded))
    lookup.publish(table_of({"stable": 2}, loaded))
    assert answering(lookup) == 2


def test_before_the_first_load_an_unknown_name_is_not_ready() -> None:
    lookup = VersionLookup(ModelSettings(default_model="small"))
    for find in (lookup.find, lambda: lookup.find_model("other"), lookup.ready):
        with pytest.raises(NotReady, match="still loading"):
            find()
    assert not lookup.wait(0)


def test_after_the_first_load_an_unknown_name_lists_what_is_served(
    loaded: dict[int, LoadedVersion],
) -> None:
    lookup = lookup_of(table_of({"stable": 1, "canary": 2}, loaded))
    served = r"served: small/1 \(stable\); small/2 \(canary\)"
    finds: list[Callable[[], object]] = [
        lambda: lookup.find("small", "9"),
        lambda: lookup.find_model("other"),
        lambda: lookup.ready("other"),
    ]
    for find in finds:
        with pytest.raises(ModelNotFound, match=served):
            find()
    assert lookup.wait(0)


def test_a_version_that_failed_is_found_but_does_not_answer() -> None:
    lookup = lookup_of(table_of({"stable": 1}, {}))
    assert lookup.find().state is State.FAILED
    with pytest.raises(NotReady, match="small/1 is failed"):
        lookup.ready()


def test_a_retired_version_is_listed_but_does_not_answer(
    loaded: dict[int, LoadedVersion],
) -> None:
    lookup = lookup_of(table_of({"stable": 2}, loaded, 1))
    assert [status.version for status in lookup.versions()] == [2, 1]
    with pytest.raises(ModelNotFound):
        answering(lookup, "1")


def test_a_model_whose_aliases_are_broken_is_known() -> None:
    lookup = lookup_of(RoutingTable(faults={"small": "broken"}))
    assert lookup.find_model("small") == ()
    assert lookup.faults() == {"small": "broken"}


def test_a_lease_holds_the_version_until_its_end(loaded: dict[int, LoadedVersion]) -> None:
    lookup = lookup_of(table_of({"stable": 1}, loaded))
    with lookup.lease():
        loaded[1].retire()
        assert not loaded[1].is_free
    assert loaded[1].is_free


def test_a_lease_ends_although_the_request_fails(loaded: dict[int, LoadedVersion]) -> None:
    lookup = lookup_of(table_of({"stable": 1}, loaded))
    with pytest.raises(ZeroDivisionError), lookup.lease():
        raise ZeroDivisionError
    loaded[1].retire()
    assert loaded[1].is_free


def test_a_version_that_is_retired_without_a_newer_table_is_not_ready(
    loaded: dict[int, LoadedVersion],
) -> None:
    lookup = lookup_of(table_of({"stable": 1}, loaded))
    loaded[1].retire()
    with pytest.raises(NotReady, match="small/1 is being freed"):
        answering(lookup)


def test_a_request_that_finds_its_version_retired_takes_the_newer_table(
    loaded: dict[int, LoadedVersion],
) -> None:
    class SwappedMeanwhile(LoadedVersion):
        def acquire(self) -> bool:
            lookup.publish(table_of({"stable": 2}, loaded))
            self.retire()
            return super().acquire()

    old = SwappedMeanwhile(fake_analysis(1), (), 0.0, lambda: None)
    lookup = lookup_of(table_of({"stable": 1}, {1: old}))
    assert answering(lookup) == 2


def test_the_canary_answers_its_share_of_requests_without_a_version(
    loaded: dict[int, LoadedVersion],
) -> None:
    lookup = lookup_of(table_of({"stable": 1, "canary": 2}, loaded), canary_share=1.0)
    assert [answering(lookup, key="x"), answering(lookup, "stable", "x")] == [2, 1]
    assert answering(lookup) == 1  # no key, such as a probe


def test_stable_answers_where_the_canary_is_not_ready(loaded: dict[int, LoadedVersion]) -> None:
    del loaded[2]
    lookup = lookup_of(table_of({"stable": 1, "canary": 2}, loaded), canary_share=1.0)
    assert answering(lookup, key="x") == 1


def test_a_lease_holds_the_shadow_as_well(loaded: dict[int, LoadedVersion]) -> None:
    table = table_of({"stable": 1, "canary": 2}, loaded)
    with lookup_of(table, shadow_alias="canary").lease() as lease:
        assert lease.shadow is not None
        assert lease.shadow.version == 2
        loaded[2].retire()
        assert not loaded[2].is_free
    assert loaded[2].is_free


@pytest.mark.parametrize("targets", [{"stable": 1}, {"stable": 1, "canary": 1}])
def test_a_version_has_no_shadow_if_no_other_version_answers_for_it(
    loaded: dict[int, LoadedVersion], targets: dict[str, int]
) -> None:
    with lookup_of(table_of(targets, loaded), shadow_alias="canary").lease() as lease:
        assert lease.shadow is None
