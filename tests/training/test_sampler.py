"""Which rows a step sees."""

import pytest

from training.data.sampler import batch_rows, steps_per_epoch

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
