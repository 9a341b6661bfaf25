"""Batches that are read ahead."""

from dataclasses import dataclass
from threading import Barrier, current_thread, main_thread

import pytest
import torch
from torch import Tensor

from training.data.batches.prefetch import each_tensor, read_ahead
from training.data.sampling.sampler import MicroBatchIndex

TURNS = [MicroBatchIndex(step) for step in range(20)]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_keep_the_order_of_their_indices(workers: int) -> None:
    assert list(read_ahead(lambda turn: turn.step, TURNS, workers, 4)) == list(range(20))


def test_workers_read_while_the_step_computes() -> None:
    met = Barrier(3, timeout=30)  # two workers and this thread, at the same time

    def load(turn: MicroBatchIndex) -> bool:
        if turn.step in (1, 2):
            met.wait()
        return current_thread() is not main_thread()

    batches = read_ahead(load, TURNS, 2, 3)
    assert next(batches)
    met.wait()
    assert all(batches)


def test_an_error_of_a_worker_is_raised_in_place_of_its_item() -> None:
    def load(turn: MicroBatchIndex) -> int:
        if turn.step == 3:
            raise OSError("the file is gone")
        return turn.step

    batches = read_ahead(load, TURNS, 2, 8)
    assert [next(batches) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="the file is gone"):
        next(batches)


def test_no_item_beyond_the_keys_is_loaded() -> None:
    seen: list[int] = []
    batches = read_ahead(lambda turn: seen.append(turn.step), TURNS, 1, 3)
    next(batches)
    batches.close()
    assert max(seen) <= 3


@pytest.mark.parametrize("workers", [0, 2])
def test_no_more_items_are_loaded_ahead_than_asked_for(workers: int) -> None:
    loaded: list[int] = []

    def load(number: int) -> int:
        loaded.append(number)
        return number

    numbers = read_ahead(load, range(100), workers, 3)
    assert [next(numbers) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert len(loaded) <= 5 + 3
    assert list(numbers) == list(range(5, 100))


@dataclass(frozen=True)
class _Batch:
    image: Tensor
    boxes: list[dict[int, Tensor]]
    names: tuple[str, ...]


def test_every_tensor_of_a_batch_is_changed_and_nothing_else() -> None:
    one = torch.ones(1)
    changed = each_tensor(_Batch(one, [{4: one}], ("heart",)), lambda tensor: tensor + 1)
    assert (changed.image.item(), changed.boxes[0][4].item(), changed.names) == (2, 2, ("heart",))
