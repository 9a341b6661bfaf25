"""One mask of both lungs split into two."""

import numpy as np
import pytest

from tests.builders.training.tiny_runs import SIZE_PX
from training.data.rows.masks import split_lungs


@pytest.mark.parametrize("second", [(slice(0, 0), slice(0, 0)), (slice(40, 60), slice(5, 25))])
def test_lungs_that_cannot_be_told_apart_are_not_split(second: tuple[slice, slice]) -> None:
    mask = np.zeros((SIZE_PX, SIZE_PX), dtype=np.uint8)
    mask[5:30, 5:25] = 255
    mask[second] = 255
    assert split_lungs(mask) is None
