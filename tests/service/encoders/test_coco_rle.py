"""Run lengths follow the definition of COCO, with and without a box."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from service.encoders import coco_rle

MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12))


def counts_by_definition(mask: NDArray[np.bool_]) -> list[int]:
    """Count runs pixel by pixel, column by column."""
    counts, value = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


@given(MASKS)
def test_run_lengths_follow_their_definition(
    mask: NDArray[np.bool_],
) -> None:
    counts = coco_rle.encode(mask)
    assert counts == counts_by_definition(mask)
    assert (coco_rle.decode(counts, *mask.shape) == mask).all()


@given(MASKS)
def test_run_lengths_within_the_box_are_the_same(
    mask: NDArray[np.bool_],
) -> None:
    rows, columns = np.nonzero(mask)
    if rows.size:
        box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        x0, y0, x1, y1 = (float(edge) for edge in box)
        assert coco_rle.encode(mask, (x0, y0, x1, y1)) == coco_rle.encode(mask)


def test_run_lengths_are_those_of_coco() -> None:
    mask = np.array([[0, 1], [1, 1], [0, 1]], dtype=bool)
    assert coco_rle.encode(mask) == [1, 1, 1, 3]


@pytest.mark.parametrize(
    ("mask", "counts"),
    [
        (np.zeros((2, 3), bool), [6]),
        (np.ones((2, 3), bool), [0, 6]),
        (np.array([[0, 1], [0, 0]], bool), [2, 1, 1]),
    ],
)
def test_uniform_masks_and_single_pixels_are_encoded(
    mask: NDArray[np.bool_], counts: list[int]
) -> None:
    assert coco_rle.encode(mask) == counts
    assert (coco_rle.decode(counts, *mask.shape) == mask).all()
