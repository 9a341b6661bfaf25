import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiograph.geometry.geometry import Geometry

sides = st.one_of(st.integers(1, 40), st.integers(1, 6000))
sizes = st.sampled_from([32, 96, 224, 512])
parts = st.floats(0, 1)
unhurried = settings(deadline=None)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    return Geometry.fit(draw(sides), draw(sides), draw(sizes))


@unhurried
@given(geometries())
def test_the_image_lies_in_the_middle_of_the_square_and_fills_one_side(g: Geometry) -> None:
    assert max(g.height, g.width) == g.size
    assert 0 <= g.size - g.height - 2 * g.top <= 1
    assert 0 <= g.size - g.width - 2 * g.left <= 1


@unhurried
@given(geometries())
def test_the_aspect_is_kept_to_within_a_pixel(g: Geometry) -> None:
    scale = g.size / max(g.rows, g.columns)
    assert abs(g.height - g.rows * scale) <= 0.5 or g.height == 1
    assert abs(g.width - g.columns * scale) <= 0.5 or g.width == 1


@unhurried
@given(geometries(), parts, parts, parts, parts)
def test_a_box_is_equal_after_a_round_trip_over_the_grid(
    g: Geometry, x0: float, y0: float, x1: float, y1: float
) -> None:
    box = (
        min(x0, x1) * g.columns,
        min(y0, y1) * g.rows,
        max(x0, x1) * g.columns,
        max(y0, y1) * g.rows,
    )
    assert np.allclose(g.box_to_source(g.box_to_grid(box)), box, rtol=0, atol=1e-6)


@unhurried
@given(geometries(), parts, parts)
def test_a_point_is_equal_after_a_round_trip_over_the_source(
    g: Geometry, x: float, y: float
) -> None:
    point = (g.left + x * g.width, g.top + y * g.height)
    assert np.allclose(g.to_grid(*g.to_source(*point)), point, rtol=0, atol=1e-6)


@unhurried
@given(geometries())
def test_the_corners_of_the_image_map_to_the_corners_of_its_part_of_the_grid(g: Geometry) -> None:
    whole = (0.0, 0.0, float(g.columns), float(g.rows))
    covered = (g.left, g.top, g.left + g.width, g.top + g.height)
    assert np.allclose(g.box_to_grid(whole), covered, rtol=0, atol=1e-9)


@unhurried
@given(geometries())
def test_a_box_over_the_padding_is_clipped_to_the_image(g: Geometry) -> None:
    box = g.box_to_source((-10.0, -10.0, g.size + 10.0, g.size + 10.0))
    assert box == (0.0, 0.0, g.columns, g.rows)


@unhurried
@given(geometries(), st.integers(1, 64))
def test_the_cells_of_the_image_are_never_empty_and_inside_the_map(g: Geometry, n: int) -> None:
    cells = g.crop(np.arange(n * n, dtype=np.float32).reshape(n, n))
    assert cells.shape[0] >= 1
    assert cells.shape[1] >= 1
    rows, columns = g.cells(n, n)
    assert 0 <= rows.start < rows.stop <= n
    assert 0 <= columns.start < columns.stop <= n


@unhurried
@given(geometries())
def test_at_full_resolution_the_cells_are_the_pixels_of_the_image(g: Geometry) -> None:
    rows, columns = g.cells(g.size, g.size)
    assert (rows.start, rows.stop) == (g.top, g.top + g.height)
    assert (columns.start, columns.stop) == (g.left, g.left + g.width)


SHAPES = [(300, 200), (201, 333), (64, 64), (1, 301), (301, 1), (97, 31), (1, 1), (2500, 2048)]


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@pytest.mark.parametrize("cells", [7, 28, 56, 224])
def test_a_map_keeps_a_half_plane_edge_where_it_was(rows: int, columns: int, cells: int) -> None:
    """A linear ramp over the square is the same ramp over the source, wherever cells fit."""
    g = Geometry.fit(rows, columns, 224)
    centre = (np.arange(cells) + 0.5) * 224 / cells
    grid = np.broadcast_to(centre, (cells, cells)).astype(np.float32)
    across = g.map_to_source(grid)[rows // 2]
    expected = (np.arange(columns) + 0.5) * g.scale_x + g.left
    inside = (expected >= centre[0]) & (expected <= centre[-1])
    tolerance = 1.0 if g.scale_x > 1 else 0.02  # a map that shrinks is averaged
    assert np.abs(across - expected)[inside].max(initial=0) <= tolerance
    down = g.map_to_source(grid.T)[:, columns // 2]
    expected = (np.arange(rows) + 0.5) * g.scale_y + g.top
    inside = (expected >= centre[0]) & (expected <= centre[-1])
    assert np.abs(down - expected)[inside].max(initial=0) <= tolerance


@pytest.mark.parametrize("edge", [56, 100, 168])
def test_a_step_crosses_one_half_at_its_edge(edge: int) -> None:
    g = Geometry.fit(1000, 800, 224)
    grid = np.zeros((224, 224), dtype=np.float32)
    grid[:, edge:] = 1
    row = g.map_to_source(grid)[500]
    crossing = np.argmax(row > 0.5)
    assert abs(crossing - g.to_source(edge, 0)[0]) <= 0.5


@unhurried
@given(geometries())
def test_a_constant_map_stays_constant(g: Geometry) -> None:
    if g.rows * g.columns > 1_000_000:
        return
    grid = np.full((7, 7), 0.25, dtype=np.float32)
    mapped = g.map_to_source(grid)
    assert mapped.shape == (g.rows, g.columns)
    assert np.allclose(mapped, 0.25)
