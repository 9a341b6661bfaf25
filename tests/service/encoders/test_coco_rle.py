"""Run lengths follow the definition of COCO, with and without a box."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pycocotools import mask as coco

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


@given(MASKS)
def test_the_compressed_form_is_the_one_that_pycocotools_writes(mask: NDArray[np.bool_]) -> None:
    expected = coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode("ascii")
    assert coco_rle.compress(coco_rle.encode(mask)) == expected


def test_a_large_mask_is_compressed_as_pycocotools_does_it() -> None:
    mask = np.zeros((2500, 2048), dtype=np.bool_)
    mask[300:2200, 1100:1900] = np.random.default_rng(0).random((1900, 800)) > 0.5
    expected = coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode("ascii")
    assert coco_rle.compress(coco_rle.encode(mask)) == expected


@pytest.mark.parametrize("filled", [False, True])
def test_a_uniform_mask_of_the_largest_size_can_be_compressed(filled: bool) -> None:
    counts = [0, 2**32 - 1] if filled else [2**32 - 1]
    text = coco_rle.compress(counts)
    assert coco.area({"size": [65537, 65535], "counts": text.encode()}) == (filled * (2**32 - 1))
