"""The linear classifier that tells groups of images apart."""

import numpy as np
from numpy.typing import NDArray

from bench.accuracy.sources.told_apart import told_apart


def _groups(shift: float, seed: int) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    sizes = (40, 120)  # unlike, so that the larger one would win by its number alone
    noise = [rng.standard_normal((size, 8)) for size in sizes]
    return [(each + shift * n).astype(np.float32) for n, each in enumerate(noise)]


def test_groups_that_lie_apart_are_told_apart() -> None:
    assert told_apart(_groups(5, seed=0), _groups(5, seed=1)) == 1


def test_groups_that_are_alike_are_told_apart_by_chance() -> None:
    assert abs(told_apart(_groups(0, seed=0), _groups(0, seed=1)) - 0.5) < 0.15
