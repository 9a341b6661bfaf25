from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from radiograph.preprocess.percentiles import percentiles

Make = Callable[[np.random.Generator, int], NDArray[np.float64]]

SHAPES: dict[str, Make] = {
    "noise": lambda random, size: random.normal(30_000, 9_000, size),
    "few values": lambda random, size: random.integers(0, 4, size).astype(np.float64),
    "ascending": lambda random, size: np.sort(random.uniform(0, 65_535, size)),
    "mostly dark": lambda random, size: random.uniform(0, 1, size) ** 9 * 65_535,
    "one value": lambda random, size: np.full(size, 7.0),
    "the rest hidden from the sample": lambda random, size: np.where(
        np.arange(size) % 16 == 0, 40_000.0, random.uniform(0, 65_535, size)
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 2, 3, 15, 16, 17, 200, 1_000, 43_904])
@pytest.mark.parametrize("places", [(0.5, 99.5), (0.0, 100.0), (49.9, 50.1), (1.0, 99.0)])
def test_percentiles_are_those_of_numpy_bit_for_bit(
    shape: str, size: int, places: tuple[float, float]
) -> None:
    values = SHAPES[shape](np.random.default_rng(size), size).astype(np.float32)
    expected = np.percentile(values, places)
    assert percentiles(values, *places) == (expected[0], expected[1])


def test_values_of_any_shape_keep_their_order() -> None:
    values = np.arange(12, dtype=np.float32)[::-1].reshape(3, 4)
    before = values.copy()
    assert percentiles(values, 0.0, 100.0) == (0.0, 11.0)
    assert np.array_equal(values, before)
