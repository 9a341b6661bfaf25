"""Random seeds of a run, different on every rank."""

import random

import torch

_RANKS_APART = 1_000_000_007
"""So that no two processes drop out alike."""


def seed_everything(seed: int) -> None:
    """Seed Python and PyTorch; numpy's global generator is not used."""
    random.seed(seed)
    torch.manual_seed(seed)
