"""Decoding at a reduced resolution, on drawn pictures."""

import numpy as np
import pytest

from bench.accuracy.reduced_decoding import (
    ENCODERS,
    Differences,
    decode_reduced,
    decode_whole,
    enlarged,
    mean_of_blocks,
)

RAMP = np.add.outer(np.arange(40), 3 * np.arange(60)).astype(np.uint16) * 200


@pytest.mark.parametrize("name", ENCODERS)
def test_a_picture_is_decoded_whole_and_at_a_quarter_of_its_resolution(name: str) -> None:
    codestream = bytes(ENCODERS[name](RAMP))
    assert np.array_equal(decode_whole(codestream), RAMP)
    reduced = decode_reduced(codestream, 2)
    assert reduced.shape == (10, 15)
    assert np.abs(reduced.astype(int) - mean_of_blocks(RAMP, 4)).max() < 2000


def test_partial_blocks_repeat_the_edge() -> None:
    assert mean_of_blocks(np.array([[0, 2, 8]], np.uint16), 2).tolist() == [[1, 8]]


def test_an_enlarged_mask_ends_with_the_picture() -> None:
    mask = enlarged(np.array([[True, False]]), 2, (1, 3))
    assert mask.tolist() == [[True, True, False]]


def test_a_line_has_the_median_and_the_worst() -> None:
    found = Differences([0.98, 1.0, 1.0], [0.1, 0.2, 0.3], [True, False], [0.25])
    expected = "| a | 1.000 | 0.980 | 33% | 0.2000 | 0.300 | 1 of 2 | 0.25 |"
    assert found.line("a") == expected
