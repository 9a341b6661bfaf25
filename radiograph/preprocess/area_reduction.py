"""Area reduction: the sum of each block of samples, exactly, without a float for every sample.

    samples, rows x columns --sum of ky rows--> --sum of kx columns--> blocks, uint32

Blocks are aligned with the first row and column of the upright image, so that the same picture is
cut into the same blocks however it is stored. The blocks of the last row and column may be partial;
their sum is that of the samples they have.

Sums are those of integers: no rounding depends on the order of the axes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Sums = NDArray[np.uint32]
_ROW_GROUPS = 8
"""Rows of blocks that are summed at once, so that intermediate values stay in the cache."""


@dataclass(frozen=True)
class Blocks:
    """Blocks of `step` neighbours along one axis of a stored image.

    Attributes:
        length: samples along the axis.
        step: samples of a block.
        reversed: True if the upright image begins at the end of the axis, so that a partial block
            comes first and not last.
    """

    length: int
    step: int
    reversed: bool = False

    @property
    def partial(self) -> int:
        """Number of samples of the partial block, 0 if there is none."""
        return self.length % self.step

    @property
    def whole(self) -> slice:
        """The samples of whole blocks."""
        start = self.partial if self.reversed else 0
        return slice(start, start + self.length - self.partial)

    @property
    def rest(self) -> slice:
        """The samples of the partial block."""
        if self.reversed:
            return slice(0, self.partial)
        return slice(self.length - self.partial, self.length)

    @property
    def sizes(self) -> NDArray[np.float32]:
        """Number of samples of each block, in the order of the axis."""
        whole = [self.step] * (self.length // self.step)
        partial = [self.partial] if self.partial else []
        return np.array(partial + whole if self.reversed else whole + partial, dtype=np.float32)

    def joined(self, whole: Sums, partial: Sums, axis: int) -> Sums:
        """Return the sums of all blocks in the order of the axis."""
        if not self.partial:
            return whole
        order = (partial, whole) if self.reversed else (whole, partial)
        return np.concatenate(order, axis=axis)


def block_sums(
    samples: NDArray[np.unsignedinteger], rows: Blocks, columns: Blocks, highest: int
) -> Sums:
    """Return the sum of every block, uint32, in the order of the stored image.

    Args:
        samples: rows x columns, uint8 or uint16, neighbours in a row next to each other in memory.
        rows, columns: the blocks along each axis; at most 256 samples in a block along one axis.
        highest: no sample is higher.
    """
    whole = _sums_of_whole_rows(samples[rows.whole], rows.step, columns, highest)
    rest = samples[rows.rest].sum(axis=0, dtype=np.uint32, keepdims=True)
    return rows.joined(whole, _column_sums(rest, columns), axis=0)


def _sums_of_whole_rows(
    samples: NDArray[np.unsignedinteger], step: int, columns: Blocks, highest: int
) -> Sums:
    """Return the sums of blocks of `step` rows, which divide the number of rows."""
    count, width = len(samples) // step, samples.shape[1]
    if count and highest * step < 2**16:
        # The sum of a column of a block fits 16 bits, which are added twice as fast as 32.
        of_columns = np.add.reduce(samples.reshape(count, step, width), axis=1, dtype=np.uint16)
        return _column_sums(of_columns, columns)
    if count and columns.step % 2 == 0 and samples.dtype == np.uint16:
        rest = samples[:, columns.rest].reshape(count, step, columns.partial)
        return columns.joined(
            _pair_sums(samples[:, columns.whole], step, columns.step // 2),
            rest.sum(axis=(1, 2), dtype=np.uint32)[:, None],
            axis=1,
        )
    sums = samples.reshape(count, step, width).sum(axis=1, dtype=np.uint32)
    return _column_sums(sums, columns)


def _pair_sums(samples: NDArray[np.unsignedinteger], step: int, pairs: int) -> Sums:
    """Return the sums of blocks of `step` rows and 2 * `pairs` columns, which fill the samples.

    Two neighbouring samples of 16 bits are one word of 32 bits. Adding its halves gives the sum of
    both columns in two cheap operations on words, whatever the byte order.
    """
    words = samples.view(np.uint32)  # rows x columns / 2
    count, width = len(words) // step, words.shape[1]
    sums = np.empty((count, width), dtype=np.uint32)
    low = np.empty((min(_ROW_GROUPS, count) * step, width), dtype=np.uint32)
    high = np.empty_like(low)
    for start in range(0, count, _ROW_GROUPS):
        group = words[start * step : (start + _ROW_GROUPS) * step]
        both, shifted = low[: len(group)], high[: len(group)]
        np.bitwise_and(group, 0xFFFF, out=both)
        np.right_shift(group, 16, out=shifted)
        np.add(both, shifted, out=both)
        blocks = both.reshape(-1, step, width)
        np.add.reduce(blocks, axis=1, out=sums[start : start + _ROW_GROUPS])
    return _sum_of_strides(sums, pairs)


def _column_sums(sums: NDArray[np.unsignedinteger], columns: Blocks) -> Sums:
    """Return the sums of the columns of each block."""
    whole = _sum_of_strides(sums[:, columns.whole], columns.step)
    rest = sums[:, columns.rest].sum(axis=1, dtype=np.uint32, keepdims=True)
    return columns.joined(whole, rest, axis=1)


def _sum_of_strides(sums: NDArray[np.unsignedinteger], step: int) -> Sums:
    """Return the sum of each `step` neighbouring columns, faster than along a short last axis."""
    total = sums[:, ::step].astype(np.uint32)
    for offset in range(1, step):
        total += sums[:, offset::step]
    return total
