"""Pictures can be encoded in every format that Pillow can write, within its largest side."""

import io

import numpy as np
import pytest
from PIL import Image, features

from service.encoders import picture_formats
from service.encoders.picture_formats import FORMATS, JPEG, PNG, WEBP


def test_the_pinned_pillow_writes_every_format_and_png_comes_first() -> None:
    assert picture_formats.available() == (PNG, JPEG, WEBP)
    assert picture_formats.missing() == ()


@pytest.mark.parametrize(("codec", "lacking"), [("webp", WEBP), ("jpg", JPEG)])
def test_a_format_without_its_codec_is_missing(
    monkeypatch: pytest.MonkeyPatch, codec: str, lacking: str
) -> None:
    monkeypatch.setattr(features, "check", lambda name: name != codec)
    assert picture_formats.missing() == (lacking,)
    assert lacking not in picture_formats.available()


@pytest.mark.parametrize("media_type", [JPEG, WEBP])
def test_a_format_can_hold_its_largest_side_and_no_larger_one(media_type: str) -> None:
    largest = FORMATS[media_type].max_side_px
    data = picture_formats.encode(Image.new("RGB", (largest, 1)), media_type)
    assert Image.open(io.BytesIO(data)).size == (largest, 1)
    with pytest.raises((ValueError, OSError)):
        picture_formats.encode(Image.new("RGB", (largest + 100, 1)), media_type)


@pytest.mark.parametrize("media_type", [PNG, JPEG, WEBP])
def test_a_kept_png_is_converted_as_if_it_were_encoded_anew(media_type: str) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8))
    kept = picture_formats.encode(image, PNG)
    assert picture_formats.convert(kept, media_type) == picture_formats.encode(image, media_type)


@pytest.mark.parametrize(
    ("suffix", "media_type"),
    [(".png", PNG), (".jpg", JPEG), (".JPEG", JPEG), (".webp", WEBP)],
)
def test_a_file_name_suffix_chooses_the_format(suffix: str, media_type: str) -> None:
    assert picture_formats.of_suffix(suffix) is FORMATS[media_type]


def test_a_suffix_that_cannot_be_written_has_no_format(monkeypatch: pytest.MonkeyPatch) -> None:
    assert picture_formats.of_suffix(".tif") is None
    assert picture_formats.of_suffix("") is None
    monkeypatch.setattr(features, "check", lambda name: name != "webp")
    assert picture_formats.of_suffix(".webp") is None
