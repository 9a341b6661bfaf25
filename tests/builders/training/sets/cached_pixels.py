"""Pixels of a whole cache, for comparisons."""

import numpy as np
from numpy.typing import NDArray

from training.data.cache.cache import Cache


def pixels(cache: Cache) -> NDArray[np.uint8]:
    """Return all images of a cache, N x size x size."""
    return np.stack([cache.images[row] for row in range(len(cache.images))])
