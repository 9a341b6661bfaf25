"""The sigmoid: known values, no overflow, and the precision of its input."""

import numpy as np
import pytest

from radiograph.postprocess.activations import sigmoid


@pytest.mark.parametrize(
    ("logit", "probability"), [(0.0, 0.5), (np.log(3.0), 0.75), (-np.log(3.0), 0.25)]
)
def test_known_values(logit: float, probability: float) -> None:
    assert sigmoid(np.array([logit])) == pytest.approx([probability])


def test_a_temperature_divides_the_logits() -> None:
    logits = np.array([-3.0, 0.5, 4.0])
    np.testing.assert_array_equal(sigmoid(logits, 2.0), sigmoid(logits / 2.0))


@pytest.mark.filterwarnings("error")
def test_extreme_logits_give_zero_and_one_without_a_warning() -> None:
    logits = np.array([-1e308, 1e308])
    np.testing.assert_array_equal(sigmoid(logits, 1e-3), [0.0, 1.0])


def test_shape_and_precision_are_those_of_the_logits() -> None:
    single = sigmoid(np.zeros((2, 3), np.float32), 1.5)
    double = sigmoid(np.zeros(4, np.float64), 1.5)
    assert single.shape == (2, 3)
    assert single.dtype == np.float32
    assert double.shape == (4,)
    assert double.dtype == np.float64
