"""Rows of each training step: a function of seed and step, so that a resumed run agrees.

epoch         a new shuffle of the pool, or a new draw from its groups; the incomplete last step
              is dropped
step          `accumulate` joined batches
joined batch  one micro-batch of every process
bucket        joined batches that are sorted by length together, cut, and shuffled again
window        shards whose rows are shuffled together; a joined batch is sorted by shard, so that
              the slice of each process, and of each node, lies in few of them
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from training.refusal import RunRefused


@dataclass(frozen=True)
class MicroBatchIndex:
    """Index of one micro-batch of one process.

    Attributes:
        step: optimiser step, from 0.
        micro: position in the step, below `accumulate`.
        accumulate: number of micro-batches of a step.
        rank: index of the process.
        world: number of processes.
    """

    step: int
    micro: int = 0
    accumulate: int = 1
    rank: int = 0
    world: int = 1

    @property
    def number(self) -> int:
        """Number of the joined batch, counted over the whole run."""
        return self.step * self.accumulate + self.micro


@dataclass(frozen=True)
class Window:
    """Shuffling within windows of shards.

    Attributes:
        shard_of: number of the shard of each row, whether it is in the pool or not.
        shards: number of shards in a window.
    """

    shard_of: NDArray[np.int64]
    shards: int


def window_of(shard_of: NDArray[np.int64] | None, shards: int | None) -> Window | None:
    """Return the window of a run; None if it shuffles all rows, or if its rows have no shards."""
    return None if shard_of is None or shards is None else Window(shard_of, shards)


class Sampler:
    """Sequence of the joined batches of a run."""

    def __init__(
        self,
        pool: Sequence[int],
        joined: int,
        seed: int,
        accumulate: int = 1,
        bucket: int = 0,
        lengths: NDArray[np.int32] | None = None,
        draw: Callable[[int], NDArray[np.int64]] | None = None,
        window: Window | None = None,
    ) -> None:
        """Define the batches.

        Args:
            pool: rows, each as often as an epoch shows it.
            joined: number of rows of a joined batch.
            seed: seed of the shuffles.
            accumulate: number of joined batches of a step.
            bucket: number of joined batches that are sorted together; 0 and 1 do not sort.
            lengths: number of tokens of each row of the pool; needed with a bucket.
            draw: epoch -> the positions in the pool that it shows, as many as the pool has; None
                shows every position once.
            window: shuffles within windows of shards; None shuffles the whole pool. Without a
                bucket only.

        Raises:
            ValueError: the pool is smaller than a step, or a bucket has no lengths.
        """
        self.pool, self.joined, self.seed, self.accumulate = pool, joined, seed, accumulate
        self.steps = steps_per_epoch(len(pool), joined * accumulate)
        self.bucket, self.lengths = (bucket if bucket > 1 else 0), lengths
        self._draw = draw
        self.window = window
        if self.bucket and lengths is None:
            raise ValueError("batches are sorted by length, but no lengths were given")
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def rows(self, index: MicroBatchIndex) -> list[int]:
        """Return the rows of the joined batch that a micro-batch is a part of."""
        epoch, within = divmod(index.step, self.steps)
        start = (within * self.accumulate + index.micro) * self.joined
        return [self.pool[i] for i in self._order(epoch)[start : start + self.joined]]

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        rng = np.random.default_rng((self.seed, epoch))
        if self.window:
            return self._within_windows(self.window, epoch, rng)
        order = rng.permutation(self._draw(epoch) if self._draw else len(self.pool))
        if not self.bucket or self.lengths is None:
            return order
        order = order[: self.steps * self.accumulate * self.joined]
        together = self.bucket * self.joined
        parts = [order[i : i + together] for i in range(0, len(order), together)]
        sorted_parts = [part[np.argsort(self.lengths[part], kind="stable")] for part in parts]
        # Rows of one batch now have similar lengths; batches, and rows in them, are shuffled.
        pieces = np.concatenate(sorted_parts).reshape(-1, self.joined)
        return rng.permuted(rng.permutation(pieces), axis=1).reshape(-1)

    def _within_windows(
        self, window: Window, epoch: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        shard_of = window.shard_of[np.asarray(self.pool)]
        turn = rng.permutation(int(shard_of.max()) + 1)[shard_of]  # the shards are shuffled, too
        shown = self._draw(epoch) if self._draw else np.arange(len(self.pool))
        order = shown[np.lexsort((rng.random(len(shown)), turn[shown] // window.shards))]
        batches = order[: self.steps * self.accumulate * self.joined].reshape(-1, self.joined)
        by_shard = np.argsort(turn[batches], axis=1, kind="stable")
        return np.take_along_axis(batches, by_shard, axis=1).reshape(-1)


def share(rows: Sequence[int], index: MicroBatchIndex) -> list[int]:
    """Return the positions of a joined batch that belong to one process, a slice of it."""
    each = len(rows) // index.world
    return list(range(index.rank * each, (index.rank + 1) * each))


def batch_rows(pool: Sequence[int], batch_size: int, step: int, seed: int) -> list[int]:
    """Return the rows of one step of a single process; each epoch is a new shuffle.

    Raises:
        ValueError: the pool is smaller than a batch.
    """
    return Sampler(pool, batch_size, seed).rows(MicroBatchIndex(step))


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Return the number of complete batches in one epoch.

    Raises:
        RunRefused: there is not a single one.
    """
    if rows < batch_size:
        raise RunRefused(
            f"{rows} rows are fewer than one batch of {batch_size}; choose a smaller batch_size"
        )
    return rows // batch_size
