from bench.reporting.report import BARE, BATCH, LANES, SINGLE
from bench.scenarios.comparison import Record, best_of


def test_the_best_bare_loop_has_the_highest_median() -> None:
    records = {name: Record("") for name in BARE}
    records[SINGLE].rates, records[BATCH].rates, records[LANES].rates = [20], [25], [22]
    assert best_of(records) == [25]
