"""Labelled subsets of a training split, for runs on a fraction of the labels.

The patients of each class are shuffled once by the seed, and a fraction takes the first ones of
each class. So the 1 % subset is contained in the 10 % subset, and a subset holds all rows of a
patient or none.
"""

import math
from collections.abc import Sequence

import numpy as np

MIN_PATIENTS = 2
"""Smallest number of patients of each class in a subset, where there are as many."""


def labelled_subset(
    patients: Sequence[str], positive: Sequence[bool], fraction: float, seed: int
) -> list[int]:
    """Return the indices of the rows whose labels may be used, ascending.

    Args:
        patients: patient of each row.
        positive: class of each row; a patient with a positive row is positive. All equal if
            there are no classes.
        fraction: fraction of the patients of each class, in (0, 1]; the number of patients is
            rounded up and at least `MIN_PATIENTS`.
        seed: for one seed, a larger fraction contains every smaller one.
    """
    is_positive: dict[str, bool] = {}
    for patient, has in zip(patients, positive, strict=True):
        is_positive[patient] = is_positive.get(patient, False) or has
    chosen: set[str] = set()
    for group in (False, True):
        members = sorted(p for p, has in is_positive.items() if has is group)
        order = np.random.default_rng((seed, int(group))).permutation(len(members))
        count = max(MIN_PATIENTS, math.ceil(fraction * len(members)))
        chosen |= {members[i] for i in order[:count]}
    return [i for i, patient in enumerate(patients) if patient in chosen]
