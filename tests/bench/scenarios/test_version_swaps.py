from pathlib import Path

from bench.load.statistics import Outcome
from bench.scenarios import version_swaps
from radiograph.manifest import Task
from radiograph.repository.repository import Repository
from tests.builders.models.versions import tiny_version


def answered(note: str) -> Outcome:
    return Outcome(0, 0, 0.1, 200, note=note)


def test_two_versions_differ_in_thresholds_and_in_the_digest_of_their_trunk(tmp_path: Path) -> None:
    source, root = tmp_path / "source", tmp_path / "root"
    tiny_version.publish(source)
    root.mkdir()
    name = version_swaps.two_versions(source / tiny_version.NAME / "1", root)
    repository = Repository(root)
    for version in repository.versions(name):
        repository.verify(name, version)
    first, second = (repository.load_manifest(name, version) for version in (1, 2))
    assert repository.aliases(name) == {"stable": 1}
    assert {path for path in first.files if first.files[path] != second.files[path]} == {
        first.trunk.file
    }
    assert first.heads_for(Task.CLASSIFY) != second.heads_for(Task.CLASSIFY)
    assert first.heads_for(Task.SEGMENT) == second.heads_for(Task.SEGMENT)
    assert len(version_swaps.identities(root, name)) == 2


DONE = [version_swaps.Swap(0.1, 100.0)] * 10


def test_a_mixed_answer_is_found() -> None:
    whole = frozenset({"one", "two"})
    good = version_swaps.Moves(DONE, [answered("one"), answered("two")])
    bad = version_swaps.Moves(DONE, [answered("one"), answered("three")])
    assert [check.held for check in version_swaps.checks(10, good, whole)] == [True, True, True]
    assert [check.held for check in version_swaps.checks(10, bad, whole)] == [True, False, True]


def test_a_failed_request_during_swaps_is_found() -> None:
    moves = version_swaps.Moves(DONE, [answered("one"), Outcome(0, 0, 0.1, 503)])
    assert version_swaps.checks(10, moves, frozenset({"one"}))[0].held is False


def test_swaps_that_the_service_does_not_follow_are_not_measured() -> None:
    moves = version_swaps.Moves([], [], reason="version 2 did not answer")
    found = [*version_swaps.checks(10, moves, frozenset()), version_swaps.rollback(moves)]
    assert all(check.held is None and "did not answer" in check.note for check in found)


def test_the_first_swap_loads_and_is_no_roll_back() -> None:
    slow, quick = version_swaps.Swap(5.0, 100.0), version_swaps.Swap(0.2, 100.0)
    assert version_swaps.rollback(version_swaps.Moves([slow, quick, quick], [])).held
    assert version_swaps.rollback(version_swaps.Moves([quick, slow], [])).held is False
    assert version_swaps.rollback(version_swaps.Moves([slow], [])).held is None
