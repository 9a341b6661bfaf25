"""A view changes the input of the model, and its geometry still leads to the same pixels."""

import numpy as np
import pytest

from radiograph.geometry.geometry import Geometry
from radiograph.preprocess import PreprocessSpec
from service.inference.views import VIEWS, View

SPEC = PreprocessSpec(size_px=64)
SHAPES = [(300, 200), (200, 300), (64, 64), (5, 400)]


def blob(geometry: Geometry, x: float, y: float) -> np.ndarray:
    """Return an input with a bright blob at a place of the source."""
    grid_x, grid_y = geometry.to_grid(x, y)
    at = np.arange(64) + 0.5
    spot = np.exp(-((at[None] - grid_x) ** 2 + (at[:, None] - grid_y) ** 2) / 18)
    image = np.zeros((64, 64))
    rows, columns = geometry.cells(64, 64)
    image[rows, columns] = (0.2 + 0.6 * spot)[rows, columns]
    return ((image - SPEC.mean) / SPEC.std).astype(np.float32)[None]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_place_stays_where_it_is_in_the_source(view: View, shape: tuple[int, int]) -> None:
    rows, columns = shape
    geometry = Geometry.fit(rows, columns, 64)
    x, y = columns * 0.4, rows * 0.55
    changed, placed = view.of(blob(geometry, x, y), geometry, SPEC)
    weight = np.clip(placed.crop(changed[0]) * SPEC.std + SPEC.mean - 0.5, 0, None)
    covered_rows, covered_columns = placed.cells(64, 64)
    at_y, at_x = np.mgrid[covered_rows, covered_columns] + 0.5
    found = placed.to_source(
        float((at_x * weight).sum() / weight.sum()), float((at_y * weight).sum() / weight.sum())
    )
    one_cell = 1 / geometry.scale_x, 1 / geometry.scale_y
    assert abs(found[0] - x) < one_cell[0]
    assert abs(found[1] - y) < one_cell[1]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_view_is_a_valid_input(view: View, shape: tuple[int, int]) -> None:
    geometry = Geometry.fit(*shape, 64)
    before = blob(geometry, 20, 3)
    kept = before.copy()
    changed, placed = view.of(before, geometry, SPEC)
    assert (changed.shape, changed.dtype) == (before.shape, before.dtype)
    low, high = (0 - SPEC.mean) / SPEC.std, (1 - SPEC.mean) / SPEC.std
    assert changed.min() >= low - 1e-6
    assert changed.max() <= high + 1e-6
    assert min(placed.top, placed.left) >= 0
    assert placed.top + placed.height <= 64
    assert placed.left + placed.width <= 64
    outside = np.ones((64, 64), bool)
    outside[placed.top : placed.top + placed.height, placed.left : placed.left + placed.width] = (
        False
    )
    assert (changed[0][outside] == np.float32(low)).all()
    assert not np.array_equal(changed, before)
    np.testing.assert_array_equal(before, kept)


def test_no_change_is_no_change() -> None:
    geometry = Geometry.fit(300, 200, 64)
    tensor = blob(geometry, 50, 100)
    changed, placed = View().of(tensor, geometry, SPEC)
    assert placed == geometry
    np.testing.assert_allclose(changed, tensor, atol=1e-6)
