"""A declared range is believed only if it shows the range that the pixels use."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from radiograph.image import Radiograph
from radiograph.preprocess import PreprocessSpec, to_grid
from radiograph.readers import dicom as reader
from tests.builders.files.dicom_files import codes, dicom, lut, ramp

BYTES = ramp(top=255).astype(np.uint8)


def read(stored: NDArray[Any], **attributes: Any) -> Radiograph:
    return reader.read(dicom(stored, **attributes))


def window(centre: float, width: float) -> dict[str, float]:
    return {"WindowCenter": centre, "WindowWidth": width}


@pytest.mark.parametrize("declared", [8, 10, 12, 16])
@pytest.mark.parametrize(
    ("highest", "white"), [(4095, 4095), (4000, 4095), (2048, 4095), (1023, 1023), (1024, 2047)]
)
def test_white_of_a_voi_lut_is_the_smallest_full_word_that_holds_its_entries(
    declared: int, highest: int, white: int
) -> None:
    entries = np.linspace(0, highest, 4096).round().astype(np.uint16)
    stored = np.array([[0, 1000, 3000, 4095]], dtype=np.uint16)
    pixels = read(stored, VOILUTSequence=lut(entries, 0, declared)).pixels
    expected = entries[stored[0]] / white * 65535
    assert np.abs(pixels[0] - expected).max() <= 0.5


@pytest.mark.parametrize("count", [255, 256])
@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
def test_entries_of_8_bits_are_read_as_bytes_and_as_words(keyword: str, count: int) -> None:
    entries = (np.arange(count) ** 2 // 255).astype(np.uint16)
    words, packed = lut(entries, 0, 8), lut(entries, 0, 8)
    packed[0].LUTData = entries.astype(np.uint8).tobytes() + b"\0" * (count % 2)
    expected = read(BYTES, **{keyword: words})
    assert expected.warnings == ()
    radiograph = read(BYTES, **{keyword: packed})
    assert np.array_equal(radiograph.pixels, expected.pixels)
    assert radiograph.warnings == ()


def test_a_lut_of_zeros_is_left_out() -> None:
    radiograph = read(ramp(), VOILUTSequence=lut(np.zeros(4096, np.uint16), 0, 12))
    assert np.array_equal(radiograph.pixels, read(ramp()).pixels)
    assert codes(radiograph.warnings) == ["voi_unusable"]


@pytest.mark.parametrize(
    ("stored", "stale"),
    [
        (BYTES, window(2048, 4096)),
        (BYTES, window(32768, 65536)),
        (ramp(top=1023), window(2048, 4096)),
        (ramp(top=4095), window(32768, 65536)),
        (ramp(top=4095), window(128, 256)),
        (ramp(top=4095), window(40, 80)),
        (ramp(top=4095), window(2000, 1)),
        (BYTES, {"VOILUTSequence": lut(np.arange(4096, dtype=np.uint16), 0, 12)}),
    ],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_range_that_is_not_that_of_the_pixels_is_left_out(
    stored: NDArray[Any], stale: dict[str, Any], photometric: str
) -> None:
    radiograph = read(stored, PhotometricInterpretation=photometric, **stale)
    own_range = read(stored, PhotometricInterpretation=photometric)
    assert np.array_equal(radiograph.pixels, own_range.pixels)
    assert codes(radiograph.warnings) == ["voi_unusable"]


@pytest.mark.parametrize(
    ("stored", "declared"),
    [
        (ramp(top=4095), window(2048, 4096)),
        (ramp(top=1400), window(2048, 4096)),  # underexposed: a third of the gray scale
        (ramp(top=4095), window(900, 600)),  # narrow: a seventh of the range
        (BYTES, window(128, 256)),
    ],
)
def test_a_range_that_shows_the_pixels_is_kept(
    stored: NDArray[Any], declared: dict[str, Any]
) -> None:
    radiograph = read(stored, VOILUTFunction="LINEAR_EXACT", **declared)
    centre, width = declared["WindowCenter"], declared["WindowWidth"]
    expected = ((stored - float(centre)) / width + 0.5).clip(0, 1) * 65535
    assert np.abs(radiograph.pixels - expected).max() <= 0.5 + 1e-4
    assert radiograph.warnings == ()


def test_a_narrow_window_around_most_pixels_is_kept() -> None:
    """Tissue uses 200 of 4096 values, and air and markers the rest."""
    stored = np.concatenate([ramp(40, 64, top=200) + 1000, ramp(8, 64)]).astype(np.uint16)
    radiograph = read(stored, **window(1100, 200))
    assert radiograph.warnings == ()
    assert (np.ptp(radiograph.pixels[:40])) > 60000


def test_a_border_does_not_make_a_window_fit() -> None:
    stored = np.pad(ramp(top=255), 20, constant_values=4095)
    radiograph = read(stored, **window(2048, 4096))
    assert np.ptp(radiograph.pixels[20:-20, 20:-20]) > 60000
    assert (radiograph.pixels[0] == 65535).all()
    assert codes(radiograph.warnings) == ["voi_unusable"]


@pytest.mark.parametrize("hot", [[65535], [65535, 0], [0, 40000, 65535]])
def test_a_hot_or_dead_pixel_does_not_darken_the_rest(hot: list[int]) -> None:
    stored = ramp(200, 200, top=2000) + np.uint16(20000)
    stored.reshape(-1)[100 : 100 + len(hot)] = hot
    radiograph = read(stored)
    middle = radiograph.pixels[1:-1]
    assert np.ptp(middle) > 60000
    assert radiograph.pixels[stored == 65535].tolist() == [65535]
    assert radiograph.warnings == ()


VOI = {
    "LUT": {"VOILUTSequence": lut(np.arange(4096, dtype=np.uint16), 0, 16)},
    "window": window(32768, 65536),
    "none": {},
}


@pytest.mark.parametrize("voi", VOI.values(), ids=VOI)
def test_an_inverted_image_with_padding_has_the_contrast_of_a_plain_one(
    voi: dict[str, Any],
) -> None:
    """Else its darkest tissue would be nearly white, far from the padding."""
    inverted = (4095 - ramp(60, 60)).clip(min=1)
    inverted[:, :15] = 0  # padding
    radiograph = read(inverted, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0, **voi)
    expected = ramp(60, 60) / 4095 * 65535
    assert np.abs(radiograph.pixels - expected)[:, 15:].max() <= 300
    assert not radiograph.pixels[:, :15].any()
    grid, _ = to_grid(radiograph, PreprocessSpec(size_px=64))
    assert grid[:, 20:].std() > 0.2


def test_a_hot_pixel_under_padding_is_no_value_of_the_image() -> None:
    stored = ramp(60, 60, top=1000) + np.uint16(10)
    stored[0, 0] = 65535
    stored[:, :15] = 65535
    pixels = read(stored, PixelPaddingValue=65535).pixels
    assert pixels[-1, -1] == 65535
    assert pixels[0, 15] <= 1000


def test_a_declared_range_of_a_flat_image_is_kept() -> None:
    flat = np.full((6, 5), 3000, dtype=np.uint16)
    assert (read(flat, **window(3000, 2)).pixels == 65535).all()
    assert read(flat, **window(3000, 2)).warnings == ()


def test_a_drawing_of_two_values_is_black_and_white() -> None:
    """Each of its values fills so much of the image that it could be taken for a border."""
    drawing = np.zeros((60, 60), dtype=np.uint16)
    drawing[10:27, 10:27] = 4095  # a twelfth of the image
    radiograph = read(drawing)
    assert np.array_equal(radiograph.pixels, drawing / 4095 * 65535)
    assert radiograph.warnings == ()


def test_an_almost_flat_image_keeps_its_only_contrast() -> None:
    stored = np.full((100, 100), 1000, dtype=np.uint16)
    stored[:1, :10] = 1001  # a thousandth
    assert np.array_equal(read(stored).pixels == 65535, stored == 1001)
