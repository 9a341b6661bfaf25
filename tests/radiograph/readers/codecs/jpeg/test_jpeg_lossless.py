from contextlib import suppress

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from radiograph.errors import UndecodablePixels
from radiograph.readers.codecs.jpeg import decode as jpeg
from radiograph.readers.codecs.jpeg.lossless import decode_and_prove
from radiograph.readers.codecs.jpeg.markers import parse
from tests.builders.files.codestreams import picture, zeroed
from tests.builders.files.dicom_files import codes

SHAPES = [(50, 40), (33, 17), (1, 9), (2, 300)]


def encode(words: np.ndarray, predictor: int = 1, bits: int = 12) -> bytes:
    stream = imagecodecs.jpeg8_encode(words, lossless=True, predictor=predictor, bitspersample=bits)
    return bytes(stream)


STREAM = encode(picture())


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("bits", [9, 12, 15, 16])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_sound_scan_is_proven_whole(predictor: int, bits: int, shape: tuple[int, int]) -> None:
    words = picture(*shape, top=2**bits - 1)
    samples, whole = decode_and_prove(imagecodecs, parse(encode(words, predictor, bits)))
    assert np.array_equal(samples, words)
    assert whole is True


@pytest.mark.parametrize("shape", [(40, 7), (1, 1)])
def test_a_picture_of_a_few_columns_is_not_proven(shape: tuple[int, int]) -> None:
    words = picture(*shape)
    samples, whole = decode_and_prove(imagecodecs, parse(encode(words)))
    assert np.array_equal(samples, words)
    assert whole is None


@pytest.mark.parametrize("extra", range(1, 8))
def test_bytes_that_libjpeg_holds_in_its_buffer_are_a_warning(extra: int) -> None:
    words, left_over = picture(), b"\x35\x5a\x1c\x77\x29\x4e\x63"[:extra]
    frame = jpeg.decode(parse(STREAM[:-2] + left_over + STREAM[-2:]))
    assert np.array_equal(frame.samples, words)
    assert codes(frame.warnings) == ["damaged_pixel_data"]


@pytest.mark.parametrize("damage", [lambda stream: stream[:-3] + stream[-2:], zeroed])
def test_a_damaged_scan_is_not_whole(damage: object) -> None:
    assert callable(damage)
    assert decode_and_prove(imagecodecs, parse(damage(STREAM)))[1] is False


def test_most_random_bytes_in_a_scan_are_noticed() -> None:
    """A decoder that finds its place again after as many samples has nothing to notice."""
    random = np.random.default_rng(0)
    noticed = 0
    for at in random.integers(len(STREAM) // 4, len(STREAM) * 3 // 4, 40):
        noise = random.integers(0, 255, 64, dtype=np.uint8).tobytes()  # no FF
        stream = STREAM[:at] + noise + STREAM[at + 64 :]
        noticed += decode_and_prove(imagecodecs, parse(stream))[1] is False
    assert noticed >= 30


def grainy() -> NDArray[np.uint16]:
    """A picture with noise, whose most frequent difference is not 0."""
    noise = np.random.default_rng(0).integers(-40, 41, (160, 144))
    return (picture().astype(int) + noise).clip(0, 4095).astype(np.uint16)


def test_zeros_are_noticed_where_the_decoder_finds_its_place_again() -> None:
    stream = encode(grainy())
    proven = 0
    for at in range(len(stream) // 8, len(stream) * 7 // 8, 23):
        damaged = parse(stream[:at] + bytes(64) + stream[at + 64 :])
        with suppress(UndecodablePixels):
            proven += decode_and_prove(imagecodecs, damaged)[1] is True
            assert codes(jpeg.decode(damaged).warnings) == ["damaged_pixel_data"]
    assert proven > 0


def test_a_picture_with_noise_and_a_black_border_is_sound() -> None:
    words = grainy()
    words[:, :40] = 0
    for sound in (grainy(), words, np.zeros_like(words)):
        frame = jpeg.decode(parse(encode(sound)))
        assert np.array_equal(frame.samples, sound)
        assert frame.warnings == ()
