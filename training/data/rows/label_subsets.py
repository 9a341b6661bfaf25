"""Which labels a run may see: fixed, nested, by patient.

The patients of each class are shuffled once by the seed, and a fraction takes the first of
each: 1 % lies inside 10 %, and no patient is ever half in.
"""

import math
from collections.abc import Sequence

import numpy as np

FEWEST = 2
"""Patients of each class that the smallest fraction holds, where there are as many."""


def labelled_subset(
    patients: Sequence[str], positive: Sequence[bool], fraction: float, seed: int
) -> list[int]:
    """Indices of the rows whose labels may be used, ascending.

    Args:
        patients: of each row.
        positive: the class of each row; a patient is positive with one positive row. All
            equal where there are no classes.
        fraction: of the patients of each class, in (0, 1]; rounded up, at least `FEWEST`.
        seed: equal seeds give nested subsets for growing fractions.
    """
    of_patient: dict[str, bool] = {}
    for patient, has in zip(patients, positive, strict=True):
        of_patient[patient] = of_patient.get(patient, False) or has
    chosen: set[str] = set()
    for group in (False, True):
        members = sorted(p for p, has in of_patient.items() if has is group)
        order = np.random.default_rng((seed, int(group))).permutation(len(members))
        count = max(FEWEST, math.ceil(fraction * len(members)))
        chosen |= {members[i] for i in order[:count]}
    return [i for i, patient in enumerate(patients) if patient in chosen]
