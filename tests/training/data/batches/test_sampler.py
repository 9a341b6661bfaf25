"""Rows of each training step."""

import numpy as np
import pytest

from training.data.batches.sampler import (
    MicroBatchIndex,
    Sampler,
    batch_rows,
    share,
    steps_per_epoch,
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
