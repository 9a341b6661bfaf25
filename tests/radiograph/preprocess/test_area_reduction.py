from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from radiograph.preprocess.area_reduction import Blocks, block_sums


def slow_sums(samples: NDArray[Any], rows: Blocks, columns: Blocks) -> list[object]:
    """Add the samples of every block one block at a time."""

    def edges(blocks: Blocks) -> list[tuple[int, int]]:
        ends = np.cumsum(blocks.sizes).astype(int).tolist()
        return list(zip([0, *ends[:-1]], ends, strict=True))

    return [
        [int(samples[top:bottom, left:right].sum(dtype=np.int64)) for left, right in edges(columns)]
        for top, bottom in edges(rows)
    ]


@settings(deadline=None, max_examples=200)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(1, 9),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, 255, 4095, 65535]),
)
def test_sums_are_those_of_every_block(
    rows: int,
    columns: int,
    row_step: int,
    column_step: int,
    rows_reversed: bool,
    columns_reversed: bool,
    highest: int,
) -> None:
    along_y = Blocks(rows, min(row_step, rows), rows_reversed)
    along_x = Blocks(columns, min(column_step, columns), columns_reversed)
    dtype = np.uint8 if highest < 256 else np.uint16
    samples: NDArray[Any] = (
        np.random.default_rng(rows).integers(0, highest + 1, (rows, columns)).astype(dtype)
    )
    samples[-1, -1] = highest
    assert block_sums(samples, along_y, along_x, highest).tolist() == slow_sums(
        samples, along_y, along_x
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_largest_block_of_the_highest_samples_does_not_overflow(
    dtype: type[np.unsignedinteger],
) -> None:
    highest = int(np.iinfo(dtype).max)
    samples = np.full((256, 256), highest, dtype=dtype)
    blocks = Blocks(256, 256)
    assert block_sums(samples, blocks, blocks, highest).tolist() == [[highest * 2**16]]


def test_a_part_of_an_image_is_reduced_without_the_rest() -> None:
    image = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60)
    part = image[3:27, 5:41]
    rows, columns = Blocks(24, 4), Blocks(36, 4)
    expected = block_sums(part.copy(), rows, columns, 65535)
    assert np.array_equal(block_sums(part, rows, columns, 65535), expected)


@pytest.mark.parametrize("backwards", [False, True])
def test_a_partial_block_comes_last_in_the_upright_image(backwards: bool) -> None:
    sizes = Blocks(11, 4, backwards).sizes.tolist()
    assert sizes == ([3, 4, 4] if backwards else [4, 4, 3])
