"""Damage inside JPEG is heard, and whatever stands around a sound picture does no harm."""

import struct

import imagecodecs
import numpy as np
import pytest
from pydicom.uid import JPEGBaseline8Bit

from radiograph.errors import InputError, InputTooCostly, UndecodablePixels
from radiograph.readers.codecs import decode
from radiograph.readers.codecs.jpeg import decode as jpeg
from radiograph.readers.codecs.jpeg import markers as jpeg_markers
from tests.builders.files.codestreams import halved, jpeg_file, picture, picture_8, zeroed
from tests.builders.files.dicom_files import codes

BITS_12, BITS_8 = picture(), picture_8()
BASELINE = bytes(imagecodecs.jpeg8_encode(BITS_8, 90))
EXTENDED = bytes(imagecodecs.jpeg8_encode(BITS_12, 90, bitspersample=12))
LOSSLESS = bytes(imagecodecs.jpeg8_encode(BITS_12, lossless=True, bitspersample=12))
LOSSLESS_8 = bytes(imagecodecs.jpeg8_encode(BITS_8, lossless=True))
LOSSLESS_7 = bytes(
    imagecodecs.jpeg8_encode(BITS_12 * np.uint16(16), lossless=True, predictor=7, bitspersample=16)
)
RESTARTING = jpeg_file(BITS_8, restart_marker_rows=2)
DICOM_STREAMS = {
    "baseline": BASELINE,
    "extended 12 bit": EXTENDED,
    "lossless": LOSSLESS,
    "lossless 8 bit": LOSSLESS_8,
    "lossless predictor 7": LOSSLESS_7,
    "restart intervals": RESTARTING,
}
each_stream = pytest.mark.parametrize("name", DICOM_STREAMS)
THUMBNAIL = jpeg_file(BITS_8[::8, ::8])


def decoded(codestream: bytes) -> tuple[np.ndarray, list[str]]:
    frame = jpeg.decode(jpeg_markers.parse(codestream))
    return frame.samples, codes(frame.warnings)


def application_segment(body: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


@each_stream
def test_a_scan_of_which_half_is_missing_is_refused(name: str) -> None:
    with pytest.raises(UndecodablePixels, match="end too early"):
        decoded(halved(DICOM_STREAMS[name]))


@each_stream
def test_zeros_in_the_middle_are_refused_or_a_warning(name: str) -> None:
    try:
        _, warned = decoded(zeroed(DICOM_STREAMS[name]))
    except UndecodablePixels:
        return
    assert "damaged_pixel_data" in warned


@each_stream
@pytest.mark.parametrize("part", [0.1, 0.3, 0.6, 0.8])
@pytest.mark.parametrize("length", [64, 1024])
def test_bytes_that_are_dropped_are_refused_or_a_warning(
    name: str, part: float, length: int
) -> None:
    stream = DICOM_STREAMS[name]
    at = int(len(stream) * part)
    try:
        _, warned = decoded(stream[:at] + stream[min(at + length, len(stream) - 200) :])
    except InputError:
        return
    assert "damaged_pixel_data" in warned


@each_stream
@pytest.mark.parametrize(
    "tail", [b"\0" * 100, b"\xff" * 100, b"\0", b"\xff\xd9", b"\x80\x80", b"any text \xff\xd9"]
)
def test_bytes_behind_the_end_do_no_harm(name: str, tail: bytes) -> None:
    stream = DICOM_STREAMS[name]
    samples, warned = decoded(stream + tail)
    assert np.array_equal(samples, decoded(stream)[0])
    assert warned == []


@each_stream
@pytest.mark.parametrize(
    "filler", [b"\0", b"\0\0\0", b"\0" * 20, b"\xff", b"\xff" * 9, b"\xff\xfe\0\6\xff\xd9hi"]
)
def test_filler_before_the_end_does_no_harm(name: str, filler: bytes) -> None:
    stream = DICOM_STREAMS[name]
    samples, warned = decoded(stream[:-2] + filler + stream[-2:])
    assert np.array_equal(samples, decoded(stream)[0])
    assert warned == []


@each_stream
def test_a_missing_end_marker_does_no_harm_if_every_sample_is_there(name: str) -> None:
    stream = DICOM_STREAMS[name]
    samples, warned = decoded(stream[:-2])
    assert np.array_equal(samples, decoded(stream)[0])
    assert warned == []


@each_stream
@pytest.mark.parametrize(
    "inserted",
    [
        application_segment(THUMBNAIL),
        b"\xff\xff\xff\xff\xfe\0\x08\xff\xd9\xff\xda\xff\xd9",
        application_segment(b"Exif\0\0") + application_segment(b"ICC_PROFILE\0"),
    ],
)
def test_segments_before_the_frame_do_no_harm(name: str, inserted: bytes) -> None:
    stream = DICOM_STREAMS[name]
    samples, warned = decoded(stream[:2] + inserted + stream[2:])
    assert np.array_equal(samples, decoded(stream)[0])
    assert warned == []


def test_a_thumbnail_behind_the_picture_is_another_picture() -> None:
    assert jpeg_markers.parse(BASELINE + THUMBNAIL).excess
    assert not jpeg_markers.parse(
        BASELINE[:2] + application_segment(THUMBNAIL) + BASELINE[2:]
    ).excess


def test_wrong_spectral_parameters_of_a_sequential_scan_are_ignored() -> None:
    at = BASELINE.index(b"\xff\xda") + 4
    assert BASELINE[at + 3 : at + 6] == b"\0\x3f\0"
    stream = BASELINE[: at + 3] + b"\0\0\0" + BASELINE[at + 6 :]
    samples, warned = decoded(stream)
    assert np.array_equal(samples, decoded(BASELINE)[0])
    assert warned == []


def test_restart_intervals_out_of_order_are_refused() -> None:
    first, second = RESTARTING.index(b"\xff\xd0"), RESTARTING.index(b"\xff\xd1")
    with pytest.raises(UndecodablePixels):
        decoded(RESTARTING[:first] + RESTARTING[second:])


def test_zeros_in_place_of_the_second_half_are_no_filler() -> None:
    half = len(LOSSLESS) // 2
    stream = LOSSLESS[:half] + bytes(len(LOSSLESS) - half - 2) + LOSSLESS[-2:]
    try:
        _, warned = decoded(stream)
    except UndecodablePixels:
        return
    assert warned == ["damaged_pixel_data"]


def test_a_black_picture_is_sound() -> None:
    for stream in (
        imagecodecs.jpeg8_encode(np.zeros((400, 400), np.uint8)),
        imagecodecs.jpeg8_encode(np.zeros((400, 400), np.uint16), bitspersample=12),
        imagecodecs.jpeg8_encode(np.zeros((400, 400), np.uint16), lossless=True),
        jpeg_file(np.zeros((400, 400), np.uint8), optimize=True),
    ):
        samples, warned = decoded(bytes(stream))
        assert samples.max() == 0
        assert warned == []


def test_8_bit_samples_are_those_of_imagecodecs() -> None:
    for stream in (BASELINE, RESTARTING, LOSSLESS_8):
        assert np.array_equal(decoded(stream)[0], imagecodecs.jpeg8_decode(stream))


def test_a_flood_of_scans_is_refused() -> None:
    scan = BASELINE[BASELINE.index(b"\xff\xda") : -2]
    with pytest.raises(UndecodablePixels, match="scans"):
        jpeg_markers.parse(BASELINE[:-2] + scan * 100 + BASELINE[-2:])


def test_scans_are_bounded_by_the_size_of_the_picture() -> None:
    frame = BASELINE.index(b"\xff\xc0") + 5
    large = BASELINE[:frame] + struct.pack(">HH", 8000, 8000) + BASELINE[frame + 4 :]
    scan = BASELINE[BASELINE.index(b"\xff\xda") : -2]
    with pytest.raises(InputTooCostly, match="11 scans of 8000 x 8000 pixels"):
        decode.decode(JPEGBaseline8Bit, large[:-2] + scan * 10 + large[-2:], 8000, 8000, 8)


@pytest.mark.parametrize("length", [2, 3, 4, 7])
def test_a_scan_header_that_is_too_short_is_refused(length: int) -> None:
    at = BASELINE.index(b"\xff\xda") + 2
    with pytest.raises(UndecodablePixels):
        decoded(BASELINE[:at] + struct.pack(">H", length) + BASELINE[at + 2 :])


@pytest.mark.parametrize("extra", range(1, 8))
def test_bytes_that_libjpeg_reads_ahead_are_a_warning(extra: int) -> None:
    left_over = b"\x35\x5a\x1c\x77\x29\x4e\x63"[:extra]
    samples, warned = decoded(EXTENDED[:-2] + left_over + EXTENDED[-2:])
    assert np.array_equal(samples, decoded(EXTENDED)[0])
    assert warned == ["damaged_pixel_data"]
