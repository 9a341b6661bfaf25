"""Masks of any number of structures as bits: planes of bytes, P x S x S uint8.

    plane 0     bit 0: pixels that are not annotated     bits 1 to 7: structures 0 to 6
    plane 1     bits 0 to 7: structures 7 to 14          plane 2: ...

Up to seven structures take one byte for each pixel. The names of the structures are kept beside
the planes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

IGNORE = 1
"""Bit of plane 0 of the pixels that are not annotated."""


def plane_count(structures: Sequence[str]) -> int:
    """Return the number of planes, P."""
    return len(structures) // 8 + 1


def place_of(name: str, structures: Sequence[str]) -> tuple[int, int]:
    """Return the plane and the bit of a structure, such as (0, 2) for the first one.

    Raises:
        ValueError: it is not one of the structures.
    """
    number = structures.index(name) + 1
    return number // 8, 1 << number % 8


def pack(
    masks: Mapping[str, NDArray[np.bool_]], ignored: NDArray[np.bool_], structures: Sequence[str]
) -> NDArray[np.uint8]:
    """Return the planes of one image, P x S x S.

    Args:
        masks: structure -> mask, S x S.
        ignored: pixels that are not annotated, S x S.
        structures: the structures that have a bit, in their order.
    """
    planes = np.zeros((plane_count(structures), *ignored.shape), dtype=np.uint8)
    planes[0] = ignored * np.uint8(IGNORE)
    for name, mask in masks.items():
        plane, bit = place_of(name, structures)
        planes[plane] |= mask * np.uint8(bit)
    return planes


def repack(
    planes: NDArray[np.uint8], structures: Sequence[str], others: Sequence[str]
) -> NDArray[np.uint8]:
    """Return planes with the masks of other structures, in their order.

    Args:
        planes: N x P x S x S.
        structures: structures of the planes.
        others: structures of the result; one that the planes do not have is empty.
    """
    count, _, rows, columns = planes.shape
    changed = np.zeros((count, plane_count(others), rows, columns), dtype=np.uint8)
    changed[:, 0] = planes[:, 0] & np.uint8(IGNORE)
    for name in set(structures) & set(others):
        plane, bit = place_of(name, structures)
        to_plane, to_bit = place_of(name, others)
        changed[:, to_plane] |= ((planes[:, plane] & np.uint8(bit)) != 0) * np.uint8(to_bit)
    return changed
