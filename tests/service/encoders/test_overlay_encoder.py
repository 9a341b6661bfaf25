"""An overlay shows masks where they are, and its file holds nothing but pixels."""

import io

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from radiograph.postprocess.grounding import Grounding, PhraseBox
from radiograph.postprocess.heads import Detection, Finding, Mask
from radiograph.preprocess import PreprocessSpec
from service.decoding.decode import ImageFacts, preview
from service.encoders import overlay_encoder
from service.inference.phrase_encoder import normalise
from service.inference.results import AnalysisResult, ModelIdentity, Notice
from tests.builders.files.png_chunks import chunks

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
    """Return a result with everything that can be drawn, some of it outside of the image."""
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
        groundings=(
            Grounding(
                PHRASE, "aligned", 0.9, heat, (columns - 0.5, rows - 0.5), (PhraseBox(full, 0.9),)
            ),
        ),
    )


def painted_by_definition(
    gray: NDArray[np.uint8], mask: NDArray[np.bool_], by: int
) -> NDArray[np.float64]:
    """Blend 60 of 255 of the colour into each pixel of the mask, and all of it on the outline."""
    height, width = gray.shape
    shown = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
    pixels = np.repeat(gray[..., None], 3, axis=2).astype(np.float64)
    for y, x in zip(*np.nonzero(shown), strict=True):
        beside = ((y - by, x), (y + by, x), (y, x - by), (y, x + by))
        inner = all(shown[v, u] for v, u in beside if 0 <= v < height and 0 <= u < width)
        share = 60 / 255 if inner else 1.0
        pixels[y, x] = gray[y, x] * (1 - share) + np.array(SKY_BLUE) * share
    return pixels


@settings(max_examples=60, deadline=None)
@given(st.data(), SIDES, SIDES, st.integers(1, 20))
def test_a_mask_is_painted_as_defined_within_one_level(
    data: st.DataObject, rows: int, columns: int, cap: int
) -> None:
    mask = data.draw(arrays.arrays(bool, (rows, columns)))
    gray = preview(np.full((rows, columns), 90, np.uint8), cap)
    canvas = overlay_encoder._Canvas.of(gray, ImageFacts(rows, columns))
    canvas.mask(mask_of(mask), SKY_BLUE)
    expected = painted_by_definition(gray, mask, by=2)
    assert np.abs(np.asarray(canvas.image) - expected).max() <= 1


@pytest.mark.parametrize("edges", [(0, 9), (700, 1100), (1290, 1300)])
def test_a_mask_on_a_reduced_image_is_painted_as_defined(edges: tuple[int, int]) -> None:
    """A thin and a long mask, at a scale that is no whole number: 1300 / 997."""
    mask = np.zeros((1300, 40), dtype=np.bool_)
    mask[slice(*edges), 3:36] = True
    gray = preview(np.full(mask.shape, 90, np.uint8), 997)
    canvas = overlay_encoder._Canvas.of(gray, ImageFacts(*mask.shape))
    canvas.mask(mask_of(mask), SKY_BLUE)
    expected = painted_by_definition(gray, mask, by=3)
    assert np.abs(np.asarray(canvas.image) - expected).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (60, 50)])
def test_an_overlay_of_any_shape_holds_nothing_but_pixels(
    shape: tuple[int, int],
) -> None:
    result = everything(np.full(shape, 50, np.uint8), *shape)
    data = overlay_encoder.encode(result)
    assert {name for name, _ in chunks(data)} == {b"IHDR", b"IDAT", b"IEND"}
    assert Image.open(io.BytesIO(data)).size == shape[::-1]
    assert imagecodecs.png_decode(data).shape == (*shape, 3)
    assert UID.encode() not in data
    assert b"Rippen" not in data
    assert overlay_encoder.encode(result) == data


def test_a_mask_between_the_pixels_of_the_canvas_paints_nothing() -> None:
    mask = np.zeros((400, 400), dtype=np.bool_)
    mask[399, 399] = True
    canvas = overlay_encoder._Canvas.of(np.full((4, 4), 90, np.uint8), ImageFacts(400, 400))
    canvas.mask(mask_of(mask), SKY_BLUE)
    canvas.mask(mask_of(np.zeros((400, 400), dtype=np.bool_)), SKY_BLUE)
    assert (np.asarray(canvas.image) == 90).all()


@pytest.mark.parametrize(
    ("shape", "cells"),
    [((1, 1), (3, 4)), ((700, 530), (14, 11)), ((90, 300), (200, 2)), ((5, 9), (1, 1))],
)
def test_a_heat_map_is_blended_as_pillow_blends_it(
    shape: tuple[int, int], cells: tuple[int, int]
) -> None:
    random = np.random.default_rng(2)
    gray = random.integers(0, 256, shape, dtype=np.uint8)
    heat = random.random(cells, dtype=np.float32)
    canvas = overlay_encoder._Canvas.of(gray, ImageFacts(*shape), heat)
    level = Image.fromarray(np.rint(heat * 255).astype(np.uint8))
    level = level.resize(shape[::-1], Image.Resampling.BILINEAR)
    expected = Image.fromarray(gray).convert("RGB")
    opacity = level.point([round(value * 0.6) for value in range(256)])
    level.putpalette(overlay_encoder._heat_palette())
    expected.paste(level.convert("RGB"), mask=opacity)
    assert (np.asarray(canvas.image) == np.asarray(expected)).all()


@pytest.mark.parametrize(("media_type", "form"), [("image/jpeg", "JPEG"), ("image/webp", "WEBP")])
def test_a_lossy_overlay_shows_the_same_and_names_no_phrase(media_type: str, form: str) -> None:
    result = everything(np.full((300, 200), 50, np.uint8), 300, 200)
    data = overlay_encoder.encode(result, media_type)
    with Image.open(io.BytesIO(data)) as picture:
        assert (picture.format, picture.mode, picture.size) == (form, "RGB", (200, 300))
        assert not set(picture.info) & {"exif", "xmp", "icc_profile", "comment"}
        lossless = np.asarray(overlay_encoder.draw(result)).astype(np.int16)
        assert np.abs(np.asarray(picture) - lossless).mean() < 4
    assert UID.encode() not in data
    assert b"Rippen" not in data


def test_an_overlay_needs_a_preview() -> None:
    result = result_of(np.zeros((1, 1), np.uint8), 1, 1)
    with pytest.raises(ValueError, match="preview"):
        overlay_encoder.encode(
            AnalysisResult(result.model, result.preprocess, result.image, (), None, {})
        )
