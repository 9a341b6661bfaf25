"""Which rows a step sees: a function of seed and step, so that a resumed run agrees."""

from collections.abc import Sequence

import numpy as np


def batch_rows(pool: Sequence[int], batch_size: int, step: int, seed: int) -> list[int]:
    """The rows of one step: each epoch is a new shuffle of the pool, the short rest dropped.

    Raises:
        ValueError: the pool is smaller than a batch.
    """
    per_epoch = steps_per_epoch(len(pool), batch_size)
    epoch, within = divmod(step, per_epoch)
    order = np.random.default_rng((seed, epoch)).permutation(len(pool))
    chosen = order[within * batch_size : (within + 1) * batch_size]
    return [pool[i] for i in chosen]


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Whole batches in one epoch.

    Raises:
        ValueError: not even one.
    """
    if rows < batch_size:
        raise ValueError(f"{rows} rows are fewer than one batch of {batch_size}")
    return rows // batch_size
