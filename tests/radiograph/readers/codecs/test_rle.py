import numpy as np
import pytest

from radiograph.errors import UndecodablePixels
from radiograph.readers.codecs import rle
from tests.builders.files.codestreams import picture, zeroed
from tests.builders.files.codestreams import rle as encode

WORDS = picture()
FRAME = encode(WORDS)


def test_bytes_behind_the_last_segment_do_no_harm() -> None:
    for tail in (b"", b"\0", b"\0" * 3, b"\0" * 60):
        samples = rle.decode(FRAME + tail, 160, 144, 16).samples
        assert np.array_equal(samples, WORDS)


@pytest.mark.parametrize("part", [0.3, 0.5, 0.9])
def test_a_frame_that_is_cut_short_is_refused(part: float) -> None:
    with pytest.raises(UndecodablePixels):
        rle.decode(FRAME[: int(len(FRAME) * part)], 160, 144, 16)


def test_zeros_in_the_middle_are_refused() -> None:
    with pytest.raises(UndecodablePixels):
        rle.decode(zeroed(FRAME), 160, 144, 16)
