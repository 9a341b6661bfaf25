import struct
from dataclasses import replace
from io import BytesIO

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from radiograph.errors import UndecodablePixels
from radiograph.readers.codecs import jpeg2000
from tests.builders.files.codestreams import halved, picture, picture_8, zeroed
from tests.builders.files.dicom_files import codes

SOT = b"\xff\x90\x00\x0a"
PICTURE = picture(320, 300)


def encode(words: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(words, codecformat="j2k", reversible=True))


def encode_tiles(words: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(words).save(buffer, "JPEG2000", no_jp2=True, tile_size=(128, 128))
    return buffer.getvalue()


STREAMS = {
    "lossless": encode(PICTURE),
    "8 bit": encode(picture_8(320, 300)),
    "htj2k": bytes(imagecodecs.htj2k_encode(PICTURE, reversible=True)),
    "tiles": encode_tiles(PICTURE),
}
each_stream = pytest.mark.parametrize("name", STREAMS)
PADDING = b"\xff\x64\x00\x0b\x00\x01PADDING"


def decoded(codestream: bytes) -> tuple[np.ndarray, list[str]]:
    header = jpeg2000.header(codestream)
    frame = jpeg2000.decode(jpeg2000.bare(codestream), header)
    return frame.samples, codes(frame.warnings)


def with_psot(stream: bytes, psot: int) -> bytes:
    """Change the length that the last tile-part declares."""
    at = stream.rindex(SOT) + 6
    return stream[:at] + struct.pack(">I", psot) + stream[at + 4 :]


@each_stream
@pytest.mark.parametrize("filler", [b"", PADDING, b"\x80\x80", b"\0", b"\xff\xff\xff", b"\0" * 99])
@pytest.mark.parametrize("end", [b"\xff\xd9", b"", b"\xff\xd9" + b"\0" * 100])
def test_bytes_behind_the_last_tile_part_do_no_harm(name: str, filler: bytes, end: bytes) -> None:
    stream = STREAMS[name]
    samples, warned = decoded(stream[:-2] + filler + end)
    assert np.array_equal(samples, imagecodecs.jpeg2k_decode(stream))
    assert warned == []


def test_filler_between_tile_parts_does_no_harm() -> None:
    stream = STREAMS["tiles"]
    at = stream.rindex(SOT)
    samples, _ = decoded(stream[:at] + b"\0\0\0\0" + stream[at:])
    assert np.array_equal(samples, imagecodecs.jpeg2k_decode(stream))


@pytest.mark.parametrize("end", [b"\xff\xd9", b"", b"\xff\xd9\0\0"])
def test_a_last_tile_part_of_unstated_length_reaches_to_the_end(end: bytes) -> None:
    stream = STREAMS["lossless"]
    samples, _ = decoded(with_psot(stream, 0)[:-2] + end)
    assert np.array_equal(samples, imagecodecs.jpeg2k_decode(stream))


@each_stream
def test_a_codestream_of_which_half_is_missing_is_refused(name: str) -> None:
    with pytest.raises(UndecodablePixels):
        decoded(halved(STREAMS[name]))


@each_stream
def test_zeros_in_the_middle_are_refused_or_a_warning(name: str) -> None:
    try:
        _, warned = decoded(zeroed(STREAMS[name], 512))
    except UndecodablePixels:
        return
    assert warned == ["damaged_pixel_data"]


def test_a_missing_tile_is_refused() -> None:
    stream = STREAMS["tiles"]
    first, second = stream.index(SOT), stream.index(SOT, stream.index(SOT) + 1)
    with pytest.raises(UndecodablePixels, match="tiles are missing"):
        decoded(stream[:first] + stream[second:])


def test_a_missing_tile_part_is_refused() -> None:
    stream = STREAMS["lossless"]
    at = stream.index(SOT)
    with pytest.raises(UndecodablePixels, match="tile-parts are missing"):
        decoded(stream[: at + 11] + b"\x02" + stream[at + 12 :])


@pytest.mark.parametrize("psot", [1, 13, 2**31, 2**32 - 1])
def test_an_impossible_length_of_a_tile_part_is_refused(psot: int) -> None:
    with pytest.raises(UndecodablePixels):
        decoded(with_psot(STREAMS["lossless"], psot))


@pytest.mark.parametrize("size", [(0, 0), (1, 1)])
def test_impossible_tile_sizes_are_refused(size: tuple[int, int]) -> None:
    stream = STREAMS["lossless"]
    with pytest.raises(UndecodablePixels):
        decoded(stream[:24] + struct.pack(">2I", *size) + stream[32:])


def test_a_black_picture_is_sound() -> None:
    black = np.zeros((500, 500), np.uint16)
    for stream in (encode(black), bytes(imagecodecs.htj2k_encode(black))):
        samples, warned = decoded(stream)
        assert samples.max() == 0
        assert warned == []


def test_the_sign_is_read() -> None:
    assert jpeg2000.header(encode(PICTURE.astype(np.int16))).signed
    assert not jpeg2000.header(encode(PICTURE)).signed


def test_a_second_picture_is_noticed() -> None:
    stream = STREAMS["8 bit"]
    for between in (stream[-2:], PADDING + stream[-2:], b""):
        twice = stream[:-2] + between + stream
        assert jpeg2000.bare(twice) == replace(jpeg2000.bare(stream), excess=True)
    assert not jpeg2000.bare(stream + b"\0").excess
