"""Random scores of a label that is present in a third of the images."""

import numpy as np

from training.metrics.arrays import BoolArray, Float64Array


def random_scores(
    seed: int, count: int = 200, levels: int = 1000
) -> tuple[Float64Array, BoolArray]:
    """Return scores in [0, 1] and labels; fewer `levels` make more scores tie."""
    rng = np.random.default_rng(seed)
    positive = rng.random(count) < 0.3
    scores = np.clip(rng.random(count) * 0.6 + 0.4 * positive, 0, 1)
    return np.round(scores * levels) / levels, positive
