"""Every kind of drawn outlier is a picture, and the same generator draws it again."""

import numpy as np
import pytest

from training.data.checks import outliers
from training.data.checks.pictures import Pixels

RADIOGRAPH = np.add.outer(np.arange(60), np.arange(90)).astype(np.uint8)


@pytest.mark.parametrize("kind", sorted(outliers.KINDS))
def test_an_outlier_is_a_picture_that_its_generator_decides(kind: str) -> None:
    make = outliers.KINDS[kind]
    first, second = (make(RADIOGRAPH, np.random.default_rng(3)) for _ in range(2))
    assert first.dtype == np.uint8
    assert first.ndim == 2
    assert min(first.shape) >= 64
    np.testing.assert_array_equal(first, second)


def test_a_jigsaw_has_the_pixels_of_the_radiograph_in_another_order() -> None:
    whole = np.arange(256, dtype=np.uint8)[:, None].repeat(256, axis=1)
    made = outliers.jigsaw(whole, np.random.default_rng(1))
    assert len(made) in {255, 256, 252}  # a multiple of the number of tiles
    assert abs(float(made.mean()) - float(whole.mean())) < 2
    assert (np.diff(made.astype(int), axis=0) < -20).any()  # tiles that do not continue


def test_a_scrap_enlarges_a_small_part() -> None:
    made = outliers.scrap(RADIOGRAPH, np.random.default_rng(2))
    assert made.shape == (outliers.SIDE_PX, outliers.SIDE_PX)
    assert int(made.max()) - int(made.min()) < 0.5 * 147  # of the range of the whole


def test_all_kinds_are_drawn() -> None:
    rng = np.random.default_rng(0)
    means: list[Pixels] = [outliers.draw(RADIOGRAPH, rng) for _ in range(60)]
    assert len({image.shape for image in means}) > 10
