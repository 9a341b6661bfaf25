"""Seeds of a run, of its batches and of its processes."""

import random

import torch

from training.engine.seeding import batch_seed, rank_seed, seed_everything


def test_a_seed_fixes_the_generators_of_python_and_pytorch() -> None:
    drawn = []
    for _ in range(2):
        seed_everything(7)
        drawn.append((random.random(), torch.rand(2).tolist()))  # noqa: S311 - the one that is seeded
    assert drawn[0] == drawn[1]


def test_batches_of_different_numbers_and_runs_have_different_seeds() -> None:
    seeds = {batch_seed(seed, number) for seed in range(3) for number in range(1000)}
    assert len(seeds) == 3000


def test_the_first_process_keeps_the_seed_and_the_others_differ() -> None:
    assert rank_seed(5, 0) == 5
    batches = {rank_seed(batch_seed(1, n), rank) for n in range(1000) for rank in range(8)}
    assert len(batches) == 8000
