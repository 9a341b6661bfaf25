from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from radiograph.image import Radiograph
from radiograph.preprocess import PreprocessSpec, preprocess, to_grid
from radiograph.readers import dicom, raster
from tests.builders.files import dicom_files as files

SPEC = PreprocessSpec()


def picture(rows: int, columns: int, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth random picture that uses all of 0..255."""
    noise = np.random.default_rng(seed).integers(0, 255, (5, 5), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(noise).resize((columns, rows), Image.Resampling.BICUBIC))
    low, high = int(smooth.min()), int(smooth.max())
    return ((smooth.astype(int) - low) * 255 // max(high - low, 1)).astype(np.uint8)


def png(stored: NDArray[Any]) -> bytes:
    buffer = BytesIO()
    Image.fromarray(stored).save(buffer, "PNG")
    return buffer.getvalue()


def tensor(radiograph: Radiograph) -> NDArray[np.float32]:
    return preprocess(radiograph, SPEC)[0]


def test_the_tensor_is_one_channel_of_float32_between_the_ends() -> None:
    made = tensor(Radiograph(picture(300, 200).astype(np.uint16) * 257))
    assert made.shape == (1, 224, 224)
    assert made.dtype == np.float32
    assert made.min() == -1
    assert made.max() == 1


def test_the_aspect_is_kept_and_the_rest_is_black() -> None:
    grid, geometry = to_grid(Radiograph(np.full((200, 100), 9, np.uint16)), SPEC)
    assert (geometry.height, geometry.width) == (224, 112)
    wide = picture(100, 200).astype(np.uint16) + 1
    grid, geometry = to_grid(Radiograph(wide), SPEC)
    assert (geometry.height, geometry.width, geometry.top) == (112, 224, 56)
    assert not grid[:56].any()
    assert not grid[168:].any()
    assert grid[56:168].mean() > 0.1


def test_a_circle_stays_round() -> None:
    y, x = np.mgrid[0:400, 0:700]
    disc = (((x - 350) ** 2 + (y - 200) ** 2) < 150**2).astype(np.uint16) * 1000
    grid, _ = to_grid(Radiograph(disc), SPEC)
    inside = grid > 0.5
    height, width = inside.any(axis=1).sum(), inside.any(axis=0).sum()
    assert abs(int(height) - int(width)) <= 1


@pytest.mark.parametrize("value", [0, 1, 40000, 65535])
@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (300, 200)])
def test_a_flat_image_is_black_and_finite(value: int, shape: tuple[int, int]) -> None:
    made = tensor(Radiograph(np.full(shape, value, dtype=np.uint16)))
    assert (made == -1).all()


def test_an_inverted_monochrome1_copy_gives_the_identical_tensor() -> None:
    stored = picture(300, 251)
    plain = dicom.read(files.dicom(stored))
    inverted = dicom.read(files.dicom(255 - stored, PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(tensor(plain), tensor(inverted))


def test_8_and_16_bits_of_the_same_picture_give_the_same_tensor() -> None:
    stored = picture(300, 251)
    made = [
        raster.read(png(stored)),
        raster.read(png(stored.astype(np.uint16) * 257)),
        dicom.read(files.dicom(stored)),
        dicom.read(files.dicom(stored.astype(np.uint16) * 16, BitsStored=12)),
        dicom.read(files.dicom(stored.astype(np.uint16) * 257)),
        dicom.read(files.dicom((stored.astype(np.int16) - 128) * 64)),
    ]
    for other in made[1:]:
        assert np.array_equal(tensor(other), tensor(made[0]))


def test_brightness_and_contrast_of_the_whole_image_do_not_matter() -> None:
    stored = picture(300, 251).astype(np.uint16)
    bright = Radiograph(stored * 100 + 20000)
    assert np.allclose(tensor(bright), tensor(Radiograph(stored)), atol=1e-4)


def test_a_few_saturated_pixels_do_not_darken_the_rest() -> None:
    stored = picture(300, 251).astype(np.uint16) * 100
    marked = stored.copy()
    marked[5:10, 5:10] = 65535
    difference = np.abs(tensor(Radiograph(marked)) - tensor(Radiograph(stored)))
    assert np.median(difference) < 0.05


def test_padding_is_left_out_of_the_percentiles() -> None:
    stored = picture(32, 224).astype(np.uint16) + 1000
    grid, geometry = to_grid(Radiograph(stored), SPEC)
    image = grid[geometry.top : geometry.top + geometry.height]
    assert image.min() == 0
    assert image.max() == 1
    assert 0.2 < image.mean() < 0.8


def test_reduction_averages_and_does_not_alias() -> None:
    """A checkerboard of single pixels is an even gray when it is made small."""
    board = (np.indices((2240, 2240)).sum(axis=0) % 2).astype(np.uint16) * 60000
    board[:1120] //= 2
    grid, _ = to_grid(Radiograph(board), SPEC)
    assert np.ptp(grid[:100]) < 0.02
    assert np.ptp(grid[124:]) < 0.02


def test_equal_specs_give_equal_tensors_and_the_input_is_not_changed() -> None:
    pixels = picture(120, 99).astype(np.uint16)
    before = pixels.copy()
    assert np.array_equal(
        preprocess(Radiograph(pixels), PreprocessSpec())[0], tensor(Radiograph(pixels))
    )
    assert np.array_equal(pixels, before)


def test_an_impossible_spec_is_refused() -> None:
    for wrong in ({"size_px": 225}, {"low_percentile": 60}, {"std": 0}, {"resize": "nearest"}):
        with pytest.raises(ValidationError):
            PreprocessSpec.model_validate(wrong)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 400),
    columns=st.integers(1, 400),
    size=st.sampled_from([32, 96, 224]),
    seed=st.integers(0, 9),
)
def test_any_image_gives_finite_values_in_range(
    rows: int, columns: int, size: int, seed: int
) -> None:
    noise = np.random.default_rng(seed).integers(0, 65536, (rows, columns)).astype(np.uint16)
    made, geometry = preprocess(Radiograph(noise), PreprocessSpec(size_px=size))
    assert made.shape == (1, size, size)
    assert np.isfinite(made).all()
    assert made.min() >= -1
    assert made.max() <= 1
    assert (geometry.rows, geometry.columns) == (rows, columns)
