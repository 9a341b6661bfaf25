import numpy as np
import pytest
from numpy.typing import NDArray

from radiograph.geometry.geometry import Field
from radiograph.preprocess.exposed_field import exposed_field

WHOLE = Field(0, 0, 100, 80)


def tissue(rows: int = 60, columns: int = 44) -> NDArray[np.float32]:
    noise = np.random.default_rng(0).uniform(10_000, 50_000, (rows, columns))
    return noise.astype(np.float32)


def framed(border: float | tuple[float, float, float, float]) -> NDArray[np.float32]:
    """Return tissue in the middle of 100 x 80, with one brightness above, below, before, behind."""
    above, below, before, behind = (border,) * 4 if isinstance(border, float) else border
    image = np.empty((100, 80), dtype=np.float32)
    image[:50], image[50:] = above, below
    image[25:85, :40], image[25:85, 40:] = before, behind
    image[25:85, 16:60] = tissue()
    return image


@pytest.mark.parametrize("border", [0.0, 65535.0, 30_000.0, (0.0, 65535.0, 65535.0, 0.0)])
def test_a_border_of_constant_brightness_is_left_out(
    border: float | tuple[float, float, float, float],
) -> None:
    assert exposed_field(framed(border), None) == Field(25, 16, 60, 44)


def test_a_border_on_one_side_is_left_out() -> None:
    image = np.concatenate([np.zeros((30, 80), np.float32), tissue(70, 80)])
    assert exposed_field(image, None) == Field(30, 0, 70, 80)
    assert exposed_field(image[::-1].copy(), None) == Field(0, 0, 70, 80)


def test_letters_and_noise_in_a_border_do_not_end_it() -> None:
    image = framed(0.0)
    image[5:9, 70:74] = 65535
    image += np.random.default_rng(1).uniform(0, 300, image.shape).astype(np.float32)
    assert exposed_field(image, None) == Field(25, 16, 60, 44)


def test_an_image_without_a_border_is_whole() -> None:
    assert exposed_field(tissue(100, 80), None) == WHOLE


def test_a_gradient_is_no_border() -> None:
    ramp = np.broadcast_to(np.linspace(0, 65535, 100)[:, None], (100, 80)).astype(np.float32)
    field = exposed_field(ramp, None)
    assert field.rows >= 96
    assert field.columns == 80


@pytest.mark.parametrize("bright", [(50, 50), (0, 0)])
def test_a_single_dot_is_no_exposed_field(bright: tuple[int, int]) -> None:
    image = np.zeros((100, 80), dtype=np.float32)
    image[bright] = 65535
    assert exposed_field(image, None) == WHOLE


def test_a_rectangle_of_one_brightness_is_no_exposed_field() -> None:
    image = np.zeros((100, 80), dtype=np.float32)
    image[20:70, 10:60] = 65535
    assert exposed_field(image, None) == WHOLE


def test_a_flat_image_is_whole() -> None:
    assert exposed_field(np.full((100, 80), 7.0, np.float32), None) == WHOLE


def test_hidden_pixels_belong_to_any_border() -> None:
    image = framed(0.0)
    shown = np.ones(image.shape, dtype=np.bool_)
    shown[:10], shown[:, :5] = False, False
    image[~shown] = 12345
    assert exposed_field(image, shown) == Field(25, 16, 60, 44)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3)])
def test_tiny_images_have_a_field(shape: tuple[int, int]) -> None:
    image = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    assert exposed_field(image, None).lies_in(*shape)
