import numpy as np
import pytest

from radiograph.errors import UnusableImage
from radiograph.image import Radiograph


def test_rows_and_columns_are_the_shape() -> None:
    radiograph = Radiograph(np.zeros((3, 7), dtype=np.uint16))
    assert (radiograph.rows, radiograph.columns) == (3, 7)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (5,), (5, 5, 3), (1, 5, 5)])
def test_an_array_that_is_not_rows_by_columns_is_unusable(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnusableImage):
        Radiograph(np.zeros(shape, dtype=np.uint16))


def test_other_types_than_uint16_are_a_programming_error() -> None:
    with pytest.raises(TypeError):
        Radiograph(np.zeros((2, 2), dtype=np.uint8))
