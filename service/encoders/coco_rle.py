"""COCO run-length encoding of masks, as JSON carries them.

uncompressed    run lengths, column by column, top to bottom: [zeros, ones, zeros, ...]
compressed      the same counts as text, the form that pycocotools reads directly

Source: COCO API, `maskApi.c`.
"""

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry.geometry import Box

_MAX_GROUPS = 7
"""Groups of five bits of the largest count, 2**32 pixels, with its sign."""


def encode(mask: NDArray[np.bool_], box: Box | None = None) -> list[int]:
    """Encode a mask as uncompressed COCO counts.

    Changes along the columns are found in the array as it lies in memory, row-major, and only
    within the box: nothing of the size of the image is transposed or copied.

    Args:
        mask: rows x columns, bool.
        box: (x0, y0, x1, y1), exclusive ends; the mask is known to be empty outside of it.

    Returns:
        Lengths of the runs in column-major order, zeros first; their sum is rows * columns.

    Source: COCO API, `maskApi.c`, `rleEncode`.
    """
    rows, columns = mask.shape
    if box is None and not mask.any():
        return [rows * columns]
    x0, y0, x1, y1 = (int(edge) for edge in box or (0, 0, columns, rows))
    top = max(y0 - 1, 0)  # one row more on either side, so that the first and last change count
    part = mask[top : y1 + 1, x0:x1]
    changed = np.flatnonzero(part[1:] != part[:-1])  # between vertical neighbours
    row, column = np.divmod(changed, part.shape[1])
    # Column-major positions of the first pixel after each change: within the columns, and between
    # the last pixel of one column and the first pixel of the next.
    within = (column + x0) * rows + row + top + 1
    between = (np.flatnonzero(mask[0, 1:] != mask[-1, :-1]) + 1) * rows
    changes = np.sort(np.concatenate((within, between)))
    first = [0] if mask[0, 0] else []  # an empty run of zeros before a mask that starts set
    counts: list[int] = np.diff(np.concatenate(([0, *first], changes, [rows * columns]))).tolist()
    return counts


def compress(counts: list[int]) -> str:
    """Write uncompressed COCO counts in COCO's compressed form.

    From the fourth on, a count is replaced by its difference from the count two places before it.
    Each number is cut into groups of five bits, lowest first, in two's complement; bit 5 of a
    character is set if more groups follow, and 48 is added to make it printable.

    Source: COCO API, `maskApi.c`, `rleToString`.
    """
    numbers = np.asarray(counts, dtype=np.int64)
    numbers[3:] -= np.asarray(counts, dtype=np.int64)[1:-2]
    characters = np.zeros((numbers.size, _MAX_GROUPS), dtype=np.uint8)
    used = np.zeros(characters.shape, dtype=np.bool_)
    open_ = np.ones(numbers.size, dtype=np.bool_)  # numbers with groups still to write
    for group in range(_MAX_GROUPS):
        bits = numbers & 31
        numbers = numbers >> 5
        # The sign is bit 4 of the last group, so a number ends when the rest is only its sign.
        more = np.where(bits & 16, numbers != -1, numbers != 0)
        characters[:, group] = bits + 32 * more + 48
        used[:, group] = open_
        open_ &= more
    return characters[used].tobytes().decode("ascii")


def decode(counts: list[int], rows: int, columns: int) -> NDArray[np.bool_]:
    """Decode uncompressed COCO counts to a mask, rows x columns, bool."""
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(columns, rows).T
