"""Splits as rules: where a data set has none, ours by patient, the published ones by their seed.

split_of          90 / 5 / 5 % of the patients, a function of the patient alone
patients_for      whole patients with together so many images: what is held out by a count
drawn, in_thirds  scikit-learn's draw with random_state=0, as published scripts make it
"""

import hashlib
from collections import Counter
from collections.abc import Sequence

from training.data.rows.dataset_files import DataError

_VALID, _TEST = 0.05, 0.05


def split_of(patient: str) -> str:
    """`train` for 90 % of the patients, `valid` and `test` for 5 % each.

    It does not depend on the order or number of rows, so that a data set that grows keeps every
    patient where it was.
    """
    share = _number(patient) / 2**64
    if share < _TEST:
        return "test"
    return "valid" if share < _TEST + _VALID else "train"


def patients_for(patients: Sequence[str], images: int) -> frozenset[str]:
    """Patients that together have `images` images, or a few less where it does not come out even.

    Patients come in the order of a hash; one with more images than are still wanted is passed over.

    Args:
        patients: of each image.
        images: wanted.
    """
    chosen: set[str] = set()
    for patient, count in sorted(Counter(patients).items(), key=lambda one: _number(one[0])):
        if count <= images:
            chosen.add(patient)
            images -= count
    return frozenset(chosen)


def _number(patient: str) -> int:
    digest = hashlib.sha256(patient.encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big")


def drawn(count: int, held_out: int | float) -> tuple[list[int], list[int]]:
    """Indices of what stays and of what is held out, in the order that scikit-learn draws them.

    Args:
        count: of the items.
        held_out: how many, or as a float their share.

    Raises:
        DataError: there are too few to be divided.
    """
    from sklearn.model_selection import train_test_split  # slow to import, rarely needed

    try:
        stays, held = train_test_split(range(count), test_size=held_out, random_state=0)
    except ValueError as error:
        raise DataError(f"{count} rows are too few to be split") from error
    return list(stays), list(held)


def in_thirds(count: int, held_out: int | float) -> tuple[list[str], list[int]]:
    """The split of each item: what is held out is halved, its first half for the test.

    Returns:
        the split of each item; and the indices of the training split in the order of the draw.
    """
    train, rest = drawn(count, held_out)
    test, valid = drawn(len(rest), 0.5)
    splits = ["train"] * count
    for name, part in (("test", test), ("valid", valid)):
        for index in part:
            splits[rest[index]] = name
    return splits, train
