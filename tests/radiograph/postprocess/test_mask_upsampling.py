"""The mask at the resolution of the source equals that of the resampled map."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiograph.geometry.geometry import Geometry
from radiograph.postprocess.mask_upsampling import threshold_at_source

SIDES = st.integers(1, 400)


@settings(max_examples=50, deadline=None)
@given(SIDES, SIDES, st.sampled_from([32, 64, 224]), SIDES, SIDES, st.integers(0, 2**32))
def test_the_mask_equals_the_resampled_map_compared_with_the_threshold(
    rows: int, columns: int, size: int, height: int, width: int, seed: int
) -> None:
    geometry = Geometry.fit(rows, columns, size)
    shape = (min(height, size), min(width, size))
    random = np.random.default_rng(seed)
    grid = (random.random(shape) ** random.integers(1, 20)).astype(np.float32)
    for level in (0.0, 0.3, 0.5, 1.0, float(grid.flat[0])):
        mask, window = threshold_at_source(grid, level, geometry)
        assert np.array_equal(mask, geometry.map_to_source(grid) >= level)
        mask[window] = False
        assert not mask.any()


@pytest.mark.parametrize(("rows", "columns"), [(2500, 2048), (2048, 2500), (695, 512)])
def test_the_mask_of_a_large_radiograph_is_equal_to_the_pixel(rows: int, columns: int) -> None:
    geometry = Geometry.fit(rows, columns, 224)
    y, x = np.mgrid[:224, :224]
    inside = 60 - np.hypot((y - 112) / 1.3, (x - 70) / 0.55)
    grid = (1 / (1 + np.exp(-inside / 6))).astype(np.float32)
    mask, window = threshold_at_source(grid, 0.5, geometry)
    assert np.array_equal(mask, geometry.map_to_source(grid) >= 0.5)
    assert 0.05 < mask.mean() < 0.5
    assert (window[0].stop - window[0].start) * (window[1].stop - window[1].start) < mask.size / 2
