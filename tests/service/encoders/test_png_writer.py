"""Files of the PNG writer follow the specification, and other decoders read their pixels."""

import io
import zlib
from concurrent.futures import ThreadPoolExecutor

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from service.encoders import parallel, png_writer
from tests.builders.files.png_chunks import chunks


def test_the_rows_of_a_file_are_differences_from_the_row_above() -> None:
    pixels = np.array([[[1, 2, 3], [4, 5, 6]], [[1, 3, 2], [255, 5, 7]]], dtype=np.uint8)
    found = list(chunks(png_writer.encode(Image.fromarray(pixels))))
    assert [name for name, _ in found] == [b"IHDR", b"IDAT", b"IDAT", b"IEND"]
    body = b"".join(data for name, data in found if name == b"IDAT")
    assert zlib.decompress(body) == bytes([2, 1, 2, 3, 4, 5, 6, 2, 0, 1, 255, 251, 0, 1])


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 3000), (3000, 1), (127, 5), (128, 5), (129, 5), (256, 5), (300, 7)]
)
def test_two_decoders_read_the_pixels_that_were_written(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(7).integers(0, 256, (*shape, 3), dtype=np.uint8)
    data = png_writer.encode(Image.fromarray(pixels))
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode, image.info) == ("PNG", "RGB", {})
        assert (np.asarray(image) == pixels).all()
    assert (imagecodecs.png_decode(data) == pixels).all()
    assert (imagecodecs.spng_decode(data) == pixels).all()


def test_the_bands_of_rows_are_one_zlib_stream_with_its_checksum() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    found = chunks(png_writer.encode(Image.fromarray(pixels)))
    body = b"".join(data for name, data in found if name == b"IDAT")
    stream = zlib.decompressobj()
    rows = stream.decompress(body)  # fails unless the Adler-32 at the end is right
    assert (stream.eof, stream.unused_data) == (True, b"")
    assert int.from_bytes(body[-4:], "big") == zlib.adler32(rows)


def test_the_number_of_threads_does_not_change_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (900, 40, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    data = png_writer.encode(image)
    with ThreadPoolExecutor(1) as one:
        monkeypatch.setattr(parallel, "_threads", lambda: one)
        assert png_writer.encode(image) == data


def test_a_file_is_at_most_half_larger_than_one_of_pillow_at_its_lowest_level() -> None:
    noise = np.random.default_rng(1).normal(0, 2, (512, 400))
    gray = np.clip(np.linspace(20, 200, 400) + noise, 0, 255).astype(np.uint8)
    image = Image.merge("RGB", [Image.fromarray(gray)] * 3)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    assert len(png_writer.encode(image)) <= len(buffer.getvalue()) * 1.5
