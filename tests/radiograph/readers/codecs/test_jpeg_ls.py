import imagecodecs
import numpy as np
import pytest

from radiograph.errors import UndecodablePixels, UnsupportedEncoding
from radiograph.readers.codecs import jpeg_ls
from tests.builders.files.codestreams import halved, picture, picture_8, zeroed

STREAMS = {
    "lossless": bytes(imagecodecs.jpegls_encode(picture())),
    "near lossless": bytes(imagecodecs.jpegls_encode(picture(), 2)),
    "8 bit": bytes(imagecodecs.jpegls_encode(picture_8())),
}
each_stream = pytest.mark.parametrize("name", STREAMS)


def decoded(codestream: bytes) -> np.ndarray:
    frame = jpeg_ls.decode(jpeg_ls.bare(codestream), jpeg_ls.header(codestream))
    assert frame.warnings == ()
    return frame.samples


@each_stream
@pytest.mark.parametrize("filler", [b"", b"\0", b"\0\0\0", b"\xff\xff", b"\xff\xfe\0\4hi"])
@pytest.mark.parametrize("tail", [b"", b"\0" * 100, b"\xff" * 100, b"\xff\xd9"])
def test_bytes_around_the_end_do_no_harm(name: str, filler: bytes, tail: bytes) -> None:
    stream = STREAMS[name]
    expected = imagecodecs.jpegls_decode(stream)
    assert np.array_equal(decoded(stream[:-2] + filler + stream[-2:] + tail), expected)


@each_stream
def test_a_missing_end_marker_does_no_harm_if_every_sample_is_there(name: str) -> None:
    stream = STREAMS[name]
    assert np.array_equal(decoded(stream[:-2]), imagecodecs.jpegls_decode(stream))


@each_stream
@pytest.mark.parametrize("damage", [halved, zeroed])
def test_damage_in_the_middle_is_refused(name: str, damage: object) -> None:
    assert callable(damage)
    with pytest.raises(UndecodablePixels):
        decoded(damage(STREAMS[name]))


def test_a_stream_without_a_scan_is_refused() -> None:
    stream = STREAMS["lossless"]
    with pytest.raises(UndecodablePixels):
        decoded(stream[: stream.index(b"\xff\xda")] + b"\xff\xd9")


def test_other_jpeg_is_unsupported() -> None:
    with pytest.raises(UnsupportedEncoding):
        jpeg_ls.header(bytes(imagecodecs.jpeg8_encode(picture_8())))


def test_a_second_picture_is_noticed() -> None:
    stream = STREAMS["8 bit"]
    assert jpeg_ls.bare(stream + stream).excess
    assert not jpeg_ls.bare(stream + b"\0").excess
