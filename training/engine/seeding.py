"""Random seeds of a run: of the whole run, of one batch, and of one process."""

import random

import torch

_BATCH_FACTOR = 1_000_003
_RANK_OFFSET = 1_000_000_007
"""Offset between the seeds of two processes, so that no two of them draw the same numbers."""


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python and PyTorch; numpy's is not used."""
    random.seed(seed)
    torch.manual_seed(seed)


def batch_seed(seed: int, number: int) -> int:
    """Return the seed of a joined batch, equal on all processes.

    Args:
        seed: seed of the run.
        number: number of the joined batch in the run (`MicroBatchIndex.number`).
    """
    return seed * _BATCH_FACTOR + number


def rank_seed(seed: int, rank: int) -> int:
    """Return the seed of one process; the first process has the seed itself."""
    return seed + _RANK_OFFSET * rank
