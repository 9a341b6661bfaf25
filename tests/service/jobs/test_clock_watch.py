"""Clocks that jump are not trusted until they were steady for a while."""

import pytest

from service.jobs.clock_watch import ClockWatch

DAYS = 86_400.0


class Clocks:
    """A steady clock and a wall clock that a test moves."""

    def __init__(self) -> None:
        self.steady, self.wall = 50.0, 1e9
        self.watch = ClockWatch(3600, lambda: self.steady)

    def passes(self, seconds: float, set_by: float = 0.0) -> bool:
        self.steady += seconds
        self.wall += seconds + set_by
        return self.watch.jumped((self.wall, 1.0 + self.steady))


def test_clocks_are_trusted_after_an_hour_without_a_jump() -> None:
    clocks = Clocks()
    assert not clocks.passes(0)
    assert not clocks.passes(1800)
    assert not clocks.watch.trusted()
    assert not clocks.passes(1800, set_by=2.0)  # an adjustment, not a jump
    assert clocks.watch.trusted()


@pytest.mark.parametrize("set_by", [-16 * DAYS, 400 * DAYS, 3600.0])
def test_a_clock_that_was_set_is_not_trusted_for_another_hour(set_by: float) -> None:
    clocks = Clocks()
    clocks.passes(7200)
    assert clocks.passes(60, set_by)
    assert not clocks.watch.trusted()
    assert not clocks.passes(3540)
    assert not clocks.watch.trusted()
    clocks.passes(60)
    assert clocks.watch.trusted()


def test_a_jump_of_the_other_clock_counts_as_well() -> None:
    watch = ClockWatch(0, lambda: 0.0)
    assert not watch.jumped((0.0, 5.0))
    assert watch.jumped((0.0, 5000.0))
