"""A split of patients for data sets that have none: a function of the patient alone.

It does not depend on the order or number of rows, so that a data set that grows keeps every
patient where it was.
"""

import hashlib

_VALID, _TEST = 0.05, 0.05


def split_of(patient: str) -> str:
    """`train` for 90 % of the patients, `valid` and `test` for 5 % each."""
    number = int.from_bytes(hashlib.sha256(patient.encode("utf-8", "replace")).digest()[:8], "big")
    share = number / 2**64
    if share < _TEST:
        return "test"
    return "valid" if share < _TEST + _VALID else "train"
