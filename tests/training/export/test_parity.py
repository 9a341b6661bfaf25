"""Differences between PyTorch and ONNX in the form in which an output is used."""

import numpy as np
import pytest

from training.export.parity import difference


@pytest.mark.parametrize(
    ("name", "ours", "change", "expected"),
    [
        ("head.logits", [0.0, -30.0], [0.0, 1.0], 0.0),  # of a probability of 1e-13
        ("trunk.map", [0.5, -0.5], [0.001, 0.0], 0.001),
        ("trunk.map", [0.0, 0.0, 0.0, 8.0], [0.0, 0.0, 0.0, 0.008], 0.001),
        ("trunk.map", [0.0, 8.0, -8.0, 8.0, -8.0], [0.0072, 0, 0, 0, 0], 0.001),  # by 7.155
        ("trunk.map", [0.0, 0.0], [0.002, 0.0], 0.002),  # a map of zeros has no scale
    ],
)
def test_features_differ_relative_to_their_scale(
    name: str, ours: list[float], change: list[float], expected: float
) -> None:
    array = np.array(ours, dtype=np.float32)
    got = difference(name, array, array + np.array(change, dtype=np.float32))
    assert got == pytest.approx(expected, abs=1e-5)


def test_a_value_that_is_no_number_differs() -> None:
    ones = np.ones(3, dtype=np.float32)
    assert not difference("trunk.map", ones, ones * np.nan) <= 1.0
