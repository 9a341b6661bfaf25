"""Which rows a step sees: a function of seed and step, so that a resumed run agrees.

epoch  = a new shuffle of the pool, the short rest dropped
step   = `accumulate` joined batches; a joined batch = one micro-batch of every process
bucket = so many joined batches are sorted by length, cut, and the pieces shuffled anew
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class MicroBatchIndex:
    """One micro-batch of one process.

    Attributes:
        step: of the optimiser.
        micro: position in the step, below `accumulate`.
        accumulate: micro-batches of a step.
        rank, world: which process, of how many.
    """

    step: int
    micro: int = 0
    accumulate: int = 1
    rank: int = 0
    world: int = 1

    @property
    def number(self) -> int:
        """Of the joined batch, over the whole run."""
        return self.step * self.accumulate + self.micro


class Sampler:
    """Rows of every joined batch."""

    def __init__(
        self,
        pool: Sequence[int],
        joined: int,
        seed: int,
        accumulate: int = 1,
        bucket: int = 0,
        lengths: NDArray[np.int32] | None = None,
    ) -> None:
        """Describe the batches.

        Args:
            pool: rows, as often as an epoch shows them.
            joined: rows of a joined batch.
            seed: of the order.
            accumulate: joined batches of a step.
            bucket: joined batches that are sorted together.
            lengths: tokens of each row of the pool; needed with a bucket.

        Raises:
            ValueError: the pool is smaller than a step, or has no lengths for a bucket.
        """
        self.pool, self.joined, self.seed, self.accumulate = pool, joined, seed, accumulate
        self.steps = steps_per_epoch(len(pool), joined * accumulate)
        self.bucket, self.lengths = (bucket if bucket > 1 else 0), lengths
        if self.bucket and lengths is None:
            raise ValueError("batches are sorted by length, but no lengths were given")
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def rows(self, turn: MicroBatchIndex) -> list[int]:
        """The joined batch that a micro-batch is a part of."""
        epoch, within = divmod(turn.step, self.steps)
        start = (within * self.accumulate + turn.micro) * self.joined
        return [self.pool[i] for i in self._order(epoch)[start : start + self.joined]]

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        rng = np.random.default_rng((self.seed, epoch))
        order = rng.permutation(len(self.pool))
        if not self.bucket or self.lengths is None:
            return order
        order = order[: self.steps * self.accumulate * self.joined]
        together = self.bucket * self.joined
        parts = [order[i : i + together] for i in range(0, len(order), together)]
        sorted_parts = [part[np.argsort(self.lengths[part], kind="stable")] for part in parts]
        pieces = np.concatenate(sorted_parts).reshape(-1, self.joined)
        return rng.permuted(rng.permutation(pieces), axis=1).reshape(-1)


def share(rows: Sequence[int], turn: MicroBatchIndex) -> list[int]:
    """The positions of a joined batch that belong to one process: a slice of equal length."""
    each = len(rows) // turn.world
    return list(range(turn.rank * each, (turn.rank + 1) * each))


def batch_rows(pool: Sequence[int], batch_size: int, step: int, seed: int) -> list[int]:
    """The rows of one step of a single process: each epoch is a new shuffle of the pool.

    Raises:
        ValueError: the pool is smaller than a batch.
    """
    return Sampler(pool, batch_size, seed).rows(MicroBatchIndex(step))


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Whole batches in one epoch.

    Raises:
        ValueError: not even one.
    """
    if rows < batch_size:
        raise ValueError(f"{rows} rows are fewer than one batch of {batch_size}")
    return rows // batch_size
