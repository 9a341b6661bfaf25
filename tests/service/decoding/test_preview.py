"""The preview shows what the model sees; a viewer gets the pixels as the file displays them."""

import numpy as np
import pytest

from radiograph.preprocess import PreprocessSpec
from radiograph.readers.read import UNKNOWN
from service.decoding.decode import DecodeRequest, decode
from tests.builders.files import sample_files
from tests.builders.files.dicom_files import lut

PIXELS = np.linspace(0, 4095, 160 * 120).round().astype(np.uint16).reshape(160, 120)
HOT = PIXELS.copy()
HOT[80, 60] = 65535

FILES = {
    "16-bit PNG of 12 bits": sample_files.png_file(PIXELS),
    "DICOM": sample_files.dicom_file(PIXELS),
    "one hot pixel": sample_files.dicom_file(HOT, BitsStored=16, HighBit=15),
    "a window of 16 bits": sample_files.dicom_file(PIXELS, WindowCenter=32768, WindowWidth=65536),
    "a LUT of 16 bits, inverted": sample_files.dicom_file(
        PIXELS[::-1].copy(),
        "MONOCHROME1",
        VOILUTSequence=lut(np.arange(4096, dtype=np.uint16), 0, 16),
    ),
}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_the_preview_is_neither_black_nor_white(data: bytes, version: int) -> None:
    spec = PreprocessSpec.model_validate({"version": version, "size_px": 64})
    shown = decode(DecodeRequest(data, UNKNOWN, spec, preview_px=500)).preview
    assert shown is not None
    expected = PIXELS.astype(float) / 4095 * 255
    assert np.median(np.abs(shown - expected)) < 4
    assert (shown.min(), shown.max()) == (0, 255)


def test_the_preview_of_a_flat_image_has_the_brightness_that_is_declared() -> None:
    flat = np.full((20, 30), 3000, dtype=np.uint16)
    data = sample_files.dicom_file(flat, WindowCenter=2048, WindowWidth=4096)
    shown = decode(DecodeRequest(data, UNKNOWN, PreprocessSpec(), preview_px=10)).preview
    assert shown is not None
    assert (shown == round(3000 / 4095 * 255)).all()


@pytest.mark.parametrize("inverted", [False, True])
def test_a_viewer_gets_the_displayed_pixels_and_the_window_of_the_model(inverted: bool) -> None:
    stored, name = (4095 - PIXELS, "MONOCHROME1") if inverted else (PIXELS, "MONOCHROME2")
    data = sample_files.dicom_file(stored, name)
    spec = PreprocessSpec(size_px=64, low_percentile=0, high_percentile=100)
    shown = decode(DecodeRequest(data, UNKNOWN, spec, pixels_px=160)).displayed
    assert shown is not None
    assert shown.pixels.dtype == np.uint16
    np.testing.assert_allclose(shown.pixels, PIXELS.astype(float) / 4095 * 65535, atol=1)
    assert 0 <= shown.black < 1000
    assert 64_500 < shown.white <= 65535


def test_pixels_of_a_viewer_are_reduced_by_averaging_areas() -> None:
    data = sample_files.png_file(PIXELS)
    request = DecodeRequest(data, UNKNOWN, PreprocessSpec(size_px=64), pixels_px=80)
    shown = decode(request).displayed
    assert shown is not None
    assert shown.pixels.shape == (80, 60)
    areas = PIXELS.reshape(80, 2, 60, 2).mean((1, 3))
    np.testing.assert_allclose(shown.pixels, areas / PIXELS.max() * shown.pixels.max(), atol=40)
