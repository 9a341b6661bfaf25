"""Rows of each training step."""

import numpy as np
import pytest

from training.data.sampling.sampler import (
    MicroBatchIndex,
    Sampler,
    Window,
    batch_rows,
    share,
    steps_per_epoch,
    window_of,
)

POOL = [3, 1, 4, 15, 9, 2, 6, 5]


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_an_epoch_shows_every_row_once(epoch: int) -> None:
    seen = [row for step in range(4) for row in batch_rows(POOL, 2, 4 * epoch + step, seed=7)]
    assert sorted(seen) == sorted(POOL)


def test_rows_are_a_function_of_seed_and_step() -> None:
    forwards = [batch_rows(POOL, 3, step, seed=0) for step in range(6)]
    backwards = [batch_rows(POOL, 3, step, seed=0) for step in reversed(range(6))]
    assert forwards == backwards[::-1]
    assert forwards != [batch_rows(POOL, 3, step, seed=1) for step in range(6)]


def test_epochs_differ_in_order() -> None:
    assert batch_rows(POOL, 8, 0, seed=0) != batch_rows(POOL, 8, 1, seed=0)


def test_a_pool_smaller_than_a_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer than one batch"):
        steps_per_epoch(3, 4)


def test_processes_share_the_rows_of_one_joined_batch() -> None:
    parts = [share(POOL, MicroBatchIndex(0, rank=rank, world=4)) for rank in range(4)]
    assert parts == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_micro_batches_of_a_step_are_the_rows_of_the_larger_batch() -> None:
    whole, halves = Sampler(POOL, 4, seed=7), Sampler(POOL, 2, seed=7, accumulate=2)
    for step in range(4):
        rows = [row for micro in (0, 1) for row in halves.rows(MicroBatchIndex(step, micro, 2))]
        assert rows == whole.rows(MicroBatchIndex(step))


def test_batches_of_a_bucket_have_neighbouring_lengths() -> None:
    """Sixteen rows of lengths 0 to 15 in batches of four: each batch has four in a row."""
    lengths = np.arange(16, dtype=np.int32)
    sampler = Sampler(range(16), 4, seed=3, bucket=4, lengths=lengths)
    batches = [sampler.rows(MicroBatchIndex(step)) for step in range(4)]
    assert sorted(sorted(batch) for batch in batches) == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15],
    ]  # fmt: skip
    assert batches != sorted(batches)
    assert batches == [
        Sampler(range(16), 4, seed=3, bucket=4, lengths=lengths).rows(MicroBatchIndex(step))
        for step in range(4)
    ]


def test_a_bucket_without_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match="no lengths"):
        Sampler(POOL, 2, seed=0, bucket=2)


SHARD_OF = np.arange(60) % 6
"""Shards of 60 rows: six of ten rows each."""


@pytest.mark.parametrize("epoch", [0, 3])
def test_a_window_shows_every_row_once_from_few_shards_at_a_time(epoch: int) -> None:
    sampler = Sampler(range(60), 4, seed=5, window=Window(SHARD_OF, 2))
    batches = [sampler.rows(MicroBatchIndex(15 * epoch + step)) for step in range(15)]
    assert sorted(row for batch in batches for row in batch) == list(range(60))
    windows = [
        {int(SHARD_OF[row]) for batch in batches[i : i + 5] for row in batch} for i in (0, 5, 10)
    ]
    assert [len(shards) for shards in windows] == [2, 2, 2]
    assert set.union(*windows) == set(range(6))
    assert batches != sorted(batches)


def test_slices_of_a_window_lie_in_few_shards() -> None:
    sampler = Sampler(range(60), 20, seed=5, window=Window(SHARD_OF, 6))
    rows = sampler.rows(MicroBatchIndex(1))
    halves = [share(rows, MicroBatchIndex(1, rank=rank, world=2)) for rank in (0, 1)]
    shards = [{int(SHARD_OF[rows[i]]) for i in half} for half in halves]
    assert len(shards[0] & shards[1]) <= 1
    assert len(shards[0] | shards[1]) == 6


def test_rows_of_a_window_are_a_function_of_seed_and_step() -> None:
    samplers = [Sampler(range(60), 8, seed=s, window=Window(SHARD_OF, 3)) for s in (5, 5, 6)]
    steps = (9, 2, 30)
    one, again, other = ([s.rows(MicroBatchIndex(step)) for step in steps] for s in samplers)
    assert one == again
    assert one != other


def test_rows_outside_the_pool_are_never_shown() -> None:
    pool = [7, 30, 31, 50]
    sampler = Sampler(pool, 2, seed=0, window=Window(SHARD_OF, 1))
    assert sorted(sampler.rows(MicroBatchIndex(0)) + sampler.rows(MicroBatchIndex(1))) == pool


def test_rows_without_shards_have_no_window() -> None:
    assert window_of(None, 3) is None
    assert window_of(SHARD_OF, None) is None
