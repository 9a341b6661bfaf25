"""Rounding of weights to the values that an export stores."""

import numpy as np

from training.evaluation.weight_rounding import to_int8_rows


def test_int8_rows_are_within_half_a_step_and_zeros_stay_zeros() -> None:
    table = np.random.default_rng(2).normal(size=(20, 8)).astype(np.float32)
    table[3] = 0
    rows, scale = to_int8_rows(table)
    assert np.abs(rows * scale - table).max() <= 0.5001 * scale.max()
    assert not rows[3].any()
    assert np.isfinite(scale).all()
