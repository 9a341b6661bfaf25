from pathlib import Path

from bench import checks
from bench.load.statistics import Outcome
from bench.report import BARE, BATCH, BEST, LANES, SINGLE, TORCH
from bench.scenarios import single_client, version_swaps
from bench.scenarios.comparison import Record, best_of
from bench.scenarios.memory import flat
from bench.scenarios.timed_client import Sample
from radiograph.manifest import Task
from radiograph.repository.repository import Repository
from tests.builders.models import tiny_version


def answered(note: str) -> Outcome:
    return Outcome(0, 0, 0.1, 200, note=note)


def test_overhead_leaves_decoding_and_model_out() -> None:
    stages = {"read": 5.0, "preprocess": 10.0, "trunk": 40.0, "heads": 1.0, "encode": 0.5}
    sample = Sample(60.0, {**stages, "total": 58.5})
    assert sample.overhead_ms == 2.5
    check = single_client.overhead({"classify": [sample], "segment": [sample]})
    assert check.held
    assert check.measured == "2.50 ms"


def test_columns_and_rest_add_up_to_the_total() -> None:
    sample = Sample(10.0, {"read": 1.0, "trunk": 5.0, "unknown": 2.0, "total": 9.0})
    assert sum(sample.columns()) == 9.0
    assert sample.columns()[-1] == 3.0


def test_the_dearest_task_is_what_all_tasks_are_held_against() -> None:
    totals = {"classify": 50.0, "segment": 80.0, "detect": 52.0, "ground": 55.0, "analyze": 88.0}
    totals["image alone"] = 82.0
    samples = {name: [Sample(ms, {"total": ms})] for name, ms in totals.items()}
    check = single_client.everything(samples)
    assert check.measured.startswith("1.10")
    assert "/segment" in check.note
    phrase = single_client.phrase(samples)
    assert phrase.held
    assert phrase.measured.startswith("1.07")


def test_comparison_is_held_against_the_best_bare_loop() -> None:
    records = {name: Record("") for name in BARE}
    records[SINGLE].rates, records[BATCH].rates, records[LANES].rates = [20], [25], [22]
    assert best_of(records) == [25]


def test_a_peer_that_did_not_take_part_is_said_and_not_passed() -> None:
    good = {"median": 0.97, "low": 0.9, "high": 1.0}
    compared = {"clients": 16, "rounds": 5, "ratios": {BEST: good}, "missing": {TORCH: "no torch"}}
    bare, torch = checks.from_comparison(compared)
    assert bare.held
    assert torch.held is None
    assert torch.note == "no torch"


def test_growing_memory_is_not_flat() -> None:
    assert flat("memory", [100.0] * 20).held
    assert flat("memory", [100.0 + i for i in range(20)]).held is False


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


def test_swaps_that_are_not_taken_up_are_not_measured() -> None:
    moves = version_swaps.Moves([], [], reason="version 2 did not answer")
    found = [*version_swaps.checks(10, moves, frozenset()), version_swaps.rollback(moves)]
    assert all(check.held is None and "did not answer" in check.note for check in found)


def test_the_first_swap_loads_and_is_no_roll_back() -> None:
    slow, quick = version_swaps.Swap(5.0, 100.0), version_swaps.Swap(0.2, 100.0)
    assert version_swaps.rollback(version_swaps.Moves([slow, quick, quick], [])).held
    assert version_swaps.rollback(version_swaps.Moves([quick, slow], [])).held is False
    assert version_swaps.rollback(version_swaps.Moves([slow], [])).held is None
