"""A part of the source fills the grid, and everything maps back to the whole source."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiograph.geometry.geometry import Field, Geometry
from radiograph.geometry.orientation import Orientation
from radiograph.postprocess.mask_upsampling import threshold_at_source

unhurried = settings(deadline=None)
parts = st.floats(0, 1)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    orientation = Orientation(draw(st.booleans()), draw(st.booleans()), draw(st.booleans()))
    rows, columns = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    upright = orientation.upright_shape(rows, columns)
    top, left = draw(st.integers(0, upright[0] - 1)), draw(st.integers(0, upright[1] - 1))
    height, width = draw(st.integers(1, upright[0] - top)), draw(st.integers(1, upright[1] - left))
    aspect = draw(st.sampled_from([1.0, 0.5, 1.7]))
    field = draw(st.sampled_from([None, Field(top, left, height, width)]))
    return Geometry.fit(rows, columns, draw(st.sampled_from([32, 96])), orientation, aspect, field)


def in_source(g: Geometry) -> tuple[float, float, float, float]:
    """Return the shown part in stored pixels."""
    part = g.part
    box = (part.left, part.top, part.left + part.columns, part.top + part.rows)
    return g.orientation.box_back(box, g.rows, g.columns)


@unhurried
@given(geometries(), parts, parts, parts, parts)
def test_a_box_in_the_part_is_equal_after_a_round_trip_over_the_grid(
    g: Geometry, x0: float, y0: float, x1: float, y1: float
) -> None:
    left, top, right, bottom = in_source(g)
    box = (
        left + min(x0, x1) * (right - left),
        top + min(y0, y1) * (bottom - top),
        left + max(x0, x1) * (right - left),
        top + max(y0, y1) * (bottom - top),
    )
    assert np.allclose(g.box_to_source(g.box_to_grid(box)), box, rtol=0, atol=1e-6)


@unhurried
@given(geometries())
def test_the_part_covers_its_place_in_the_grid(g: Geometry) -> None:
    covered = (g.left, g.top, g.left + g.width, g.top + g.height)
    assert np.allclose(g.box_to_grid(in_source(g)), covered, rtol=0, atol=1e-6)
    whole = g.box_to_source((-5.0, -5.0, g.size + 5.0, g.size + 5.0))
    assert np.allclose(whole, in_source(g), rtol=0, atol=1e-9)


@unhurried
@given(geometries(), st.integers(1, 40), st.sampled_from([-1.0, 0.0, 0.3, 0.9]))
def test_a_mask_is_the_thresholded_map_and_lies_in_its_window(
    g: Geometry, n: int, threshold: float
) -> None:
    grid = np.random.default_rng(n).random((n, n)).astype(np.float32)
    mask, window = threshold_at_source(grid, threshold, g)
    assert mask.shape == (g.rows, g.columns)
    assert np.array_equal(mask, g.map_to_source(grid) >= np.float32(threshold))
    outside = mask.copy()
    outside[window] = False
    assert not outside.any()


@unhurried
@given(geometries())
def test_a_map_is_zero_where_the_grid_does_not_show_the_source(g: Geometry) -> None:
    mapped = g.map_to_source(np.full((8, 8), 0.25, dtype=np.float32))
    x0, y0, x1, y1 = (int(edge) for edge in in_source(g))
    assert np.allclose(mapped[y0:y1, x0:x1], 0.25)
    assert np.count_nonzero(mapped) == (y1 - y0) * (x1 - x0)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_heat_map_of_the_part_is_stretched_over_the_whole_source(transposed: bool) -> None:
    orientation = Orientation(transposed=transposed)
    shape = (80, 120) if transposed else (120, 80)
    g = Geometry.fit(*shape, 64, orientation, field=Field(30, 20, 60, 40))
    cells = np.arange(24, dtype=np.float32).reshape(6, 4)
    shown = orientation.turn(g.over_source(cells))
    assert shown.shape == (12, 8)  # cells of 10 pixels, as before
    assert np.array_equal(shown[3:9, 2:6], cells)
    assert np.count_nonzero(shown) == 23


def test_without_a_field_a_heat_map_is_only_turned() -> None:
    orientation = Orientation(True, False, True)
    cells = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    g = Geometry.fit(70, 50, 64, orientation)
    assert np.array_equal(g.over_source(cells), orientation.turn_back(cells))


@pytest.mark.parametrize(
    ("field", "inside"),
    [
        (Field(0, 0, 5, 9), True),
        (Field(4, 8, 1, 1), True),
        (Field(0, 0, 6, 9), False),
        (Field(-1, 0, 2, 2), False),
        (Field(0, 0, 0, 3), False),
        (Field(2, 2, 3, -1), False),
    ],
)
def test_a_field_lies_in_the_image(field: Field, inside: bool) -> None:
    assert field.lies_in(5, 9) == inside
