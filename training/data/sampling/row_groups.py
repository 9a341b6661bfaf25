"""Balanced epochs: each group of rows has a fixed share of them, however many rows it has.

    pool --first group that a row fits--> members of each group
    members --endless passes, each a new shuffle--> the part of an epoch that is the group's share

Every row of a group is shown once before any is shown again, also across epochs.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from training.config.run import RowGroup
from training.data.cache.sample_index import Sample
from training.refusal import RunRefused

Order = Callable[[int], NDArray[np.int64]]
"""Epoch -> the positions in the pool that it shows, as many as the pool has rows."""


def balanced_order(
    samples: Sequence[Sample], groups: Sequence[RowGroup], seed: int
) -> Order | None:
    """Return the order of balanced epochs, or None without groups.

    Args:
        samples: samples of the pool.
        groups: groups with their shares.
        seed: seed of the shuffles.

    Raises:
        RunRefused: no row of the pool is in a group.
    """
    if not groups:
        return None
    members = members_of(samples, groups)
    ends = np.round(np.cumsum([group.share for group in groups]) * len(samples)).astype(int)
    ends[-1] = len(samples)  # the shares may miss 1 by a rounding error
    counts = np.diff(ends, prepend=0)

    def order(epoch: int) -> NDArray[np.int64]:
        parts = [
            _part(rows, range(epoch * count, (epoch + 1) * count), (seed, number))
            for number, (rows, count) in enumerate(zip(members, counts.tolist(), strict=True))
        ]
        return np.concatenate(parts)

    return order


def members_of(samples: Sequence[Sample], groups: Sequence[RowGroup]) -> list[NDArray[np.intp]]:
    """Return the positions of the samples that are in each group.

    Raises:
        RunRefused: a group has none.
    """
    of_row = np.array([_group_of(sample, groups) for sample in samples])
    members = [np.flatnonzero(of_row == number) for number in range(len(groups))]
    for group, rows in zip(groups, members, strict=True):
        if not len(rows):
            raise RunRefused(f"groups: no training row is in the group {group.words}")
    return members


def _group_of(sample: Sample, groups: Sequence[RowGroup]) -> int:
    """Return the index of the first group that a row fits, or -1."""
    return next((n for n, group in enumerate(groups) if _fits(sample, group)), -1)


def _fits(sample: Sample, group: RowGroup) -> bool:
    drawn = {name for name, _ in sample.boxes}
    return (
        group.table in (None, sample.row.table)
        and (group.finding is None or sample.row.findings.get(group.finding, False))
        and (group.normal is None or group.normal == bool(sample.row.normal))
        and (group.mask is None or group.mask in sample.known)
        and (group.box is None or group.box in drawn)
        and (group.boxes is None or group.boxes == bool(drawn))
    )


def _part(rows: NDArray[np.intp], part: range, seed: tuple[int, int]) -> NDArray[np.int64]:
    """Return a part of the endless sequence of shuffled passes over some rows."""
    if not part:
        return np.zeros(0, dtype=np.int64)
    size = len(rows)
    first, last = part.start // size, (part.stop - 1) // size
    passes = [
        np.random.default_rng((*seed, number)).permutation(rows)
        for number in range(first, last + 1)
    ]
    start = part.start - first * size
    return np.concatenate(passes)[start : start + len(part)].astype(np.int64)
