import struct

import numpy as np
import pytest

from radiograph.errors import UndecodablePixels
from radiograph.readers.codecs import rle
from tests.builders.files.codestreams import picture, zeroed
from tests.builders.files.codestreams import rle as encode
from tests.builders.files.dicom_files import codes

WORDS = picture()
FRAME = encode(WORDS)


def test_bytes_behind_the_last_segment_do_no_harm() -> None:
    fillers = [filler * length for filler in (b"\0", b"\xff") for length in (1, 3, 60, 100, 4099)]
    for tail in (b"", *fillers, b"\0" + b"\xff" * 101 + b"\0"):
        samples = rle.decode(FRAME + tail, 160, 144, 16).samples
        assert np.array_equal(samples, WORDS)


def test_a_picture_that_ends_like_its_filler_keeps_its_last_samples() -> None:
    words = WORDS.copy()
    words[-1, -7:] = 0
    words[-1, -9:-7] = 0xFF
    for tail in (b"\0" * 200, b"\xff" * 201):
        assert np.array_equal(rle.decode(encode(words) + tail, 160, 144, 16).samples, words)


def test_data_behind_the_last_segment_are_taken_for_damage() -> None:
    for tail in (b"\x00\x07" * 9, b"\0" * 50 + b"\x07" + b"\0" * 50, FRAME):
        with pytest.raises(UndecodablePixels):
            rle.decode(FRAME + tail, 160, 144, 16)


def test_an_altered_run_is_not_made_up_for_by_what_follows() -> None:
    # A run that is longer by one leaves data of the picture behind its end, which are no filler.
    _, _, last = struct.unpack_from("<3I", FRAME)
    longer = bytearray(FRAME)
    assert longer[last] > 129
    longer[last] -= 1
    for tail in (b"", b"\0" * 100):
        with pytest.raises(UndecodablePixels):
            rle.decode(bytes(longer) + tail, 160, 144, 16)


@pytest.mark.parametrize("count", [0, 16, 2**32 - 1])
@pytest.mark.parametrize("offset", [0, 64, 2**32 - 1])
def test_headers_that_lie_about_the_last_segment_are_refused(count: int, offset: int) -> None:
    header = struct.pack("<16I", count, *[offset] * 15)
    for body in (b"", b"\x80" * 5_000, b"\0" * 5_000):
        with pytest.raises(UndecodablePixels):
            rle.decode(header + body, 160, 144, 16)


def test_more_runs_than_are_walked_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rle, "_MAX_RUNS", 3)
    with pytest.raises(UndecodablePixels):
        rle.decode(FRAME + b"\0" * 100, 160, 144, 16)


@pytest.mark.parametrize("part", [0.3, 0.5, 0.9])
def test_a_frame_that_is_cut_short_is_refused(part: float) -> None:
    with pytest.raises(UndecodablePixels):
        rle.decode(FRAME[: int(len(FRAME) * part)], 160, 144, 16)


def test_zeros_in_the_middle_are_refused() -> None:
    with pytest.raises(UndecodablePixels):
        rle.decode(zeroed(FRAME), 160, 144, 16)


def literal(segment: bytes) -> bytes:
    """A segment of runs of different bytes only, as an encoder writes that packs nothing."""
    parts = (segment[at : at + 128] for at in range(0, len(segment), 128))
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


def frame(*segments: bytes) -> bytes:
    offsets = np.cumsum([64, *map(len, segments[:-1])])
    header = struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(segments)))
    return header + b"".join(segments)


def test_zeros_inside_a_run_are_a_warning_if_the_encoder_packs_runs() -> None:
    noise = np.random.default_rng(0).integers(1, 256, 128 * 60, dtype=np.uint8).tobytes()
    zeros = noise[:200] + bytes(40) + noise[240:]
    packed = bytes([257 - 128, 0]) * 60
    assert rle.decode(frame(packed, literal(noise)), 60, 128, 16).warnings == ()
    decoded = rle.decode(frame(packed, literal(zeros)), 60, 128, 16)
    assert codes(decoded.warnings) == ["damaged_pixel_data"]


def test_zeros_of_an_encoder_that_packs_nothing_are_sound() -> None:
    half_black = np.vstack((np.zeros_like(WORDS), WORDS))
    segments = (literal((half_black >> shift).astype(np.uint8).tobytes()) for shift in (8, 0))
    decoded = rle.decode(frame(*segments), 320, 144, 16)
    assert np.array_equal(decoded.samples, half_black)
    assert decoded.warnings == ()


def test_a_black_picture_is_sound() -> None:
    black = np.zeros((160, 144), np.uint16)
    for tail in (b"", bytes(500)):
        assert rle.decode(encode(black) + tail, 160, 144, 16).warnings == ()
