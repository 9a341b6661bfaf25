"""Rules that split a data set into training, validation and test rows.

split_of             90 / 5 / 5 % of the patients, for data sets without an official split
named_split          split by the name that a table gives it;  splits_of_patients: of whole patients
patients_for         whole patients who together have a given number of images
hold_out, in_thirds  the draw of scikit-learn with random_state=0, as published scripts make it
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

from training.data.rows.dataset_files import DataError

_VALID, _TEST = 0.05, 0.05
_NAMES = {
    "train": ("train", "training"),
    "valid": ("valid", "validate", "validation", "val"),
    "test": ("test", "testing"),
}
_SPLIT_OF_NAME = {name: split for split, names in _NAMES.items() for name in names}
SEVERAL = "several"
"""Stands for the split of a patient whose rows are in several."""


def named_split(name: str) -> str:
    """Return the split that a table calls by a name in any case, such as `Val`, or ""."""
    return _SPLIT_OF_NAME.get(name.strip().lower(), "")


def splits_of_patients(rows: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return patient -> split of the rows that have one, or `SEVERAL` if they differ.

    Args:
        rows: patient and name of the split of each row; rows without a patient are passed over.
    """
    given: dict[str, str] = {}
    for patient, name in rows:
        split = named_split(name)
        if split and patient:
            given[patient] = split if given.get(patient, split) == split else SEVERAL
    return given


def reason_without_split(name: str, split: str) -> str:
    """Return why a row is in no split, or "".

    Args:
        name: name of the split that the table gives.
        split: split of the row or of its patient, `SEVERAL`, or "" if it is in none.
    """
    if name and not named_split(name):
        return "unknown split"
    if split == SEVERAL:
        return "patient in several splits"
    return "" if split else "neither patient nor split"


def split_of(patient: str) -> str:
    """Return `train` for 90 % of the patients, `valid` and `test` for 5 % each.

    The split depends on the name of the patient alone, so that a data set that grows keeps every
    patient in its split.
    """
    share = _number(patient) / 2**64
    if share < _TEST:
        return "test"
    return "valid" if share < _TEST + _VALID else "train"


def patients_for(patients: Sequence[str], images: int) -> frozenset[str]:
    """Return patients who together have `images` images, or slightly fewer.

    Patients are taken in the order of a hash; one with more images than are still missing is
    skipped.

    Args:
        patients: patient of each image.
        images: number of images to hold out.
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


def hold_out(count: int, held_out: int | float) -> tuple[list[int], list[int]]:
    """Return the indices of the items that stay and of those held out, in the order of the draw.

    Args:
        count: number of items.
        held_out: number of items to hold out, or as a float their fraction.

    Raises:
        DataError: there are too few items to split.
    """
    from sklearn.model_selection import train_test_split  # slow to import, needed by few

    try:
        stays, held = train_test_split(range(count), test_size=held_out, random_state=0)
    except ValueError as error:
        raise DataError(f"{count} rows are too few to be split") from error
    return list(stays), list(held)


def in_thirds(count: int, held_out: int | float) -> tuple[list[str], list[int]]:
    """Split items into `train`, `valid` and `test`; the first half held out is for the test.

    Args:
        count: number of items.
        held_out: number of items outside the training split, or as a float their fraction.

    Returns:
        The split of each item, and the indices of the training items in the order of the draw.

    Raises:
        DataError: there are too few items to split.
    """
    train, rest = hold_out(count, held_out)
    test, valid = hold_out(len(rest), 0.5)
    splits = ["train"] * count
    for name, part in (("test", test), ("valid", valid)):
        for index in part:
            splits[rest[index]] = name
    return splits, train
