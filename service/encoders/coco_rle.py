"""COCO run lengths: how a mask travels in JSON.

column by column, top to bottom: [zeros, ones, zeros, ...], beginning with zeros
"""

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry import Box


def encode(mask: NDArray[np.bool_], box: Box | None = None) -> list[int]:
    """A mask -> its uncompressed COCO counts.

    Changes are looked for down the columns of the array as it lies in memory, and only where
    the mask is: nothing of the size of the image is transposed or copied.

    Args:
        mask: rows x columns, bool.
        box: (x0, y0, x1, y1) outside of which the mask is known to be empty.

    Returns:
        Lengths of the runs in column-major order, zeros first; their sum is rows * columns.

    Source: COCO API, `maskApi.c`, `rleEncode`.
    """
    rows, columns = mask.shape
    if box is None and not mask.any():
        return [rows * columns]
    x0, y0, x1, y1 = (int(edge) for edge in box or (0, 0, columns, rows))
    top = max(y0 - 1, 0)
    part = mask[top : y1 + 1, x0:x1]
    changed = np.flatnonzero(part[1:] != part[:-1])
    row, column = np.divmod(changed, part.shape[1])
    within = (column + x0) * rows + row + top + 1
    between = (np.flatnonzero(mask[0, 1:] != mask[-1, :-1]) + 1) * rows
    changes = np.sort(np.concatenate((within, between)))
    first = [0] if mask[0, 0] else []
    counts: list[int] = np.diff(np.concatenate(([0, *first], changes, [rows * columns]))).tolist()
    return counts


def decode(counts: list[int], rows: int, columns: int) -> NDArray[np.bool_]:
    """Uncompressed COCO counts -> the mask, rows x columns, bool."""
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(columns, rows).T
