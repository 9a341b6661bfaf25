"""Bootstrap intervals over patients."""

import numpy as np
import pytest

from training.metrics import (
    bootstrap,
    weighted_mean,
)


def test_the_interval_contains_the_value_and_is_reproducible() -> None:
    values = np.random.default_rng(0).random(60)
    patients = [str(i // 2) for i in range(60)]
    found = bootstrap(lambda c: weighted_mean(values, c), patients, repeats=300)
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(values.mean())
    assert found.n == 60
    assert found == bootstrap(lambda c: weighted_mean(values, c), patients, repeats=300)


def test_patients_are_resampled_and_not_images() -> None:
    values = np.array([0.0, 1.0, 0.0, 1.0])
    found = bootstrap(lambda c: weighted_mean(values, c), ["a", "a", "b", "b"], repeats=50)
    assert found.low == found.high == 0.5


def test_a_bootstrap_without_images_or_defined_values_has_no_interval() -> None:
    nothing = bootstrap(lambda c: float(c.sum()), [])
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()
    assert nothing.n == 0
    undefined = bootstrap(lambda _: float("nan"), ["a"], repeats=3)
    assert np.isnan([undefined.value, undefined.low]).all()
