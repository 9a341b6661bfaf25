"""Overlays as files and as pixels: what is drawn, and the PNG that it becomes."""

import io
import struct
import zlib
from collections.abc import Iterator

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from radiograph.postprocess.heads import Detection, Finding, Grounding, Mask
from radiograph.preprocess import PreprocessSpec
from service.decoding.decode import ImageFacts, preview
from service.encoders import png_overlay, png_writer
from service.inference.phrase_encoder import normalise
from service.inference.results import AnalysisResult, ModelIdentity, Notice

SKY_BLUE = (86, 180, 233)
UID = "1.2.826.0.1.3680043.8.498.77"
PHRASE = normalise("Rippen\ttEXt\nIEND " + "Å̸ شعاع " * 20, 512)
SIDES = st.integers(1, 16)


def mask_of(array: NDArray[np.bool_]) -> Mask:
    rows, columns = np.nonzero(array)
    box = None
    if rows.size:
        box = (
            float(columns.min()),
            float(rows.min()),
            float(columns.max() + 1),
            float(rows.max() + 1),
        )
    return Mask("", None, array, rows.size, None, box)


def result_of(gray: NDArray[np.uint8], rows: int, columns: int) -> AnalysisResult:
    facts = ImageFacts(rows, columns, sop_instance_uid=UID)
    return AnalysisResult(
        ModelIdentity("tiny", 1, "sha"), PreprocessSpec(), facts, (), None, {}, gray
    )


def everything(gray: NDArray[np.uint8], rows: int, columns: int) -> AnalysisResult:
    """A result with all that can be drawn, some of it outside of the picture."""
    full = (0.0, 0.0, float(columns), float(rows))
    heat = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    bare = result_of(gray, rows, columns)
    return AnalysisResult(
        bare.model,
        bare.preprocess,
        bare.image,
        (Notice("out_of_domain", ""),),
        None,
        {},
        gray,
        findings=(Finding("effusion", None, 0.75, 0.5, positive=True),),
        masks=(Mask("lung", None, np.ones((rows, columns), bool), rows * columns, None, full),),
        detections=(Detection("nodule", None, 0.5, full),),
        groundings=(Grounding(PHRASE, "aligned", 0.9, heat, (columns - 0.5, rows - 0.5), full),),
    )


def painted_by_definition(
    gray: NDArray[np.uint8], mask: NDArray[np.bool_], by: int
) -> NDArray[np.float64]:
    """Each pixel that is in the mask: 60 of 255 of the colour, or all of it on the outline."""
    height, width = gray.shape
    seen = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
    pixels = np.repeat(gray[..., None], 3, axis=2).astype(np.float64)
    for y, x in zip(*np.nonzero(seen), strict=True):
        beside = ((y - by, x), (y + by, x), (y, x - by), (y, x + by))
        inner = all(seen[v, u] for v, u in beside if 0 <= v < height and 0 <= u < width)
        share = 60 / 255 if inner else 1.0
        pixels[y, x] = gray[y, x] * (1 - share) + np.array(SKY_BLUE) * share
    return pixels


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at = 8
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        (check,) = struct.unpack_from(">I", data, at + 8 + length)
        body = data[at + 8 : at + 8 + length]
        assert check == zlib.crc32(name + body)
        yield name, body
        at += 12 + length


@settings(max_examples=60, deadline=None)
@given(st.data(), SIDES, SIDES, st.integers(1, 20))
def test_a_mask_is_painted_as_defined_to_one_level(
    data: st.DataObject, rows: int, columns: int, cap: int
) -> None:
    mask = data.draw(arrays.arrays(bool, (rows, columns)))
    gray = preview(np.full((rows, columns), 90 << 8, np.uint16), cap)
    canvas = png_overlay._Canvas.of(gray, ImageFacts(rows, columns))
    canvas.mask(mask_of(mask), SKY_BLUE)
    expected = painted_by_definition(gray, mask, by=2)
    assert np.abs(np.asarray(canvas.image) - expected).max() <= 1


@pytest.mark.parametrize("edges", [(0, 9), (700, 1100), (1290, 1300)])
def test_a_mask_of_a_reduced_picture_is_painted_as_defined(edges: tuple[int, int]) -> None:
    """The thin and the long at a scale that is no whole number; 1300 / 997 has no short form."""
    mask = np.zeros((1300, 40), dtype=np.bool_)
    mask[slice(*edges), 3:36] = True
    gray = preview(np.full(mask.shape, 90 << 8, np.uint16), 997)
    canvas = png_overlay._Canvas.of(gray, ImageFacts(*mask.shape))
    canvas.mask(mask_of(mask), SKY_BLUE)
    expected = painted_by_definition(gray, mask, by=3)
    assert np.abs(np.asarray(canvas.image) - expected).max() <= 1


def test_the_rows_of_a_file_are_differences_from_the_row_above() -> None:
    pixels = np.array([[[1, 2, 3], [4, 5, 6]], [[1, 3, 2], [255, 5, 7]]], dtype=np.uint8)
    (header, _), (name, body), (end, _) = chunks(png_writer.encode(Image.fromarray(pixels)))
    assert (header, name, end) == (b"IHDR", b"IDAT", b"IEND")
    assert zlib.decompress(body) == bytes([2, 1, 2, 3, 4, 5, 6, 2, 0, 1, 255, 251, 0, 1])


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 3000), (3000, 1), (127, 5), (128, 5), (129, 5), (300, 7)]
)
def test_two_decoders_read_the_pixels_that_were_written(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(7).integers(0, 256, (*shape, 3), dtype=np.uint8)
    data = png_writer.encode(Image.fromarray(pixels))
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode, image.info) == ("PNG", "RGB", {})
        assert (np.asarray(image) == pixels).all()
    assert (imagecodecs.png_decode(data) == pixels).all()
    assert (imagecodecs.spng_decode(data) == pixels).all()


def test_a_file_is_no_larger_than_what_pillow_compresses_lightly() -> None:
    noise = np.random.default_rng(1).normal(0, 2, (512, 400))
    gray = np.clip(np.linspace(20, 200, 400) + noise, 0, 255).astype(np.uint8)
    canvas = png_overlay._Canvas.of(gray, ImageFacts(*gray.shape))
    buffer = io.BytesIO()
    canvas.image.save(buffer, "PNG", compress_level=1)
    assert len(png_writer.encode(canvas.image)) <= len(buffer.getvalue()) * 1.5


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (60, 50)])
def test_an_overlay_of_any_shape_is_a_picture_with_nothing_but_pixels(
    shape: tuple[int, int],
) -> None:
    result = everything(np.full(shape, 50, np.uint8), *shape)
    data = png_overlay.encode(result)
    assert [name for name, _ in chunks(data)] == [b"IHDR", b"IDAT", b"IEND"]
    assert Image.open(io.BytesIO(data)).size == shape[::-1]
    assert imagecodecs.png_decode(data).shape == (*shape, 3)
    assert UID.encode() not in data
    assert b"Rippen" not in data
    assert png_overlay.encode(result) == data


def test_a_mask_that_no_pixel_of_the_picture_shows_paints_nothing() -> None:
    mask = np.zeros((400, 400), dtype=np.bool_)
    mask[399, 399] = True
    canvas = png_overlay._Canvas.of(np.full((4, 4), 90, np.uint8), ImageFacts(400, 400))
    canvas.mask(mask_of(mask), SKY_BLUE)
    canvas.mask(mask_of(np.zeros((400, 400), dtype=np.bool_)), SKY_BLUE)
    assert (np.asarray(canvas.image) == 90).all()


def test_an_overlay_needs_a_preview() -> None:
    result = result_of(np.zeros((1, 1), np.uint8), 1, 1)
    with pytest.raises(ValueError, match="preview"):
        png_overlay.encode(
            AnalysisResult(result.model, result.preprocess, result.image, (), None, {})
        )
