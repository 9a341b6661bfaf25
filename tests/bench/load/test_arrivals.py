import statistics
from itertools import pairwise

import pytest

from bench.load.arrivals import arrivals


def test_fixed_arrivals_are_evenly_spaced() -> None:
    assert list(arrivals("fixed", 4, 1)) == [0, 0.25, 0.5, 0.75]


def test_poisson_arrivals_have_the_rate_and_the_spread_of_independent_ones() -> None:
    times = list(arrivals("poisson", 100, 100, seed=1))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) == pytest.approx(10_000, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.05)


def test_arrivals_ascend_and_end_in_time() -> None:
    times = list(arrivals("poisson", 50, 2, seed=2))
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < 2


def test_equal_seeds_give_equal_schedules() -> None:
    assert list(arrivals("poisson", 9, 5, 3)) == list(arrivals("poisson", 9, 5, 3))
    assert list(arrivals("poisson", 9, 5, 3)) != list(arrivals("poisson", 9, 5, 4))


def test_a_rate_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        list(arrivals("poisson", 0, 1))
