"""The learning rate of single steps, worked out by hand."""

import pytest

from training.config.engine import OptimiserConfig
from training.engine.optimisation.lr_schedule import lr_factor


def test_the_rate_warms_up_and_falls_to_nothing() -> None:
    rates = [lr_factor(step, 100, OptimiserConfig(warmup=0.1)) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.0)


def test_without_warm_up_the_first_step_has_the_whole_rate() -> None:
    assert lr_factor(0, 1, OptimiserConfig(warmup=0.0)) == 1.0
    assert lr_factor(0, 100, OptimiserConfig(warmup=0.001)) == 1.0


def test_a_cosine_that_restarts_begins_anew_after_its_steps() -> None:
    config = OptimiserConfig(warmup=0.0, restart_every=200)
    rates = [lr_factor(step, 1000, config) for step in range(601)]
    assert rates[0] == rates[200] == rates[600] == 1.0
    assert rates[100] == rates[500] == pytest.approx(0.5)
    assert rates[199] < 1e-4
    assert rates[:200] == rates[200:400]


def test_restarts_are_counted_from_the_end_of_the_warm_up() -> None:
    config = OptimiserConfig(warmup=0.1, restart_every=20)
    rates = [lr_factor(step, 100, config) for step in range(40)]
    assert rates[4] == pytest.approx(0.5)
    assert rates[10] == rates[30] == 1.0
    assert rates[20] == pytest.approx(0.5)
