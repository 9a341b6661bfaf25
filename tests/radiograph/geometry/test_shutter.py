from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from radiograph.geometry.orientation import Orientation
from radiograph.geometry.shutter import Shutter

ORIENTATIONS = [Orientation(*steps) for steps in product((False, True), repeat=3)]
CENTRES = np.arange(20) + 0.5


def shown(shutter: Shutter) -> NDArray[np.bool_]:
    return shutter.shows(CENTRES, CENTRES)


def test_a_rectangle_shows_its_pixels() -> None:
    made = shown(Shutter(rectangle=(3.0, 5.0, 8.0, 7.0)))
    expected = np.zeros((20, 20), dtype=bool)
    expected[5:7, 3:8] = True
    assert np.array_equal(made, expected)


def test_a_circle_shows_the_pixels_within_its_radius() -> None:
    made = shown(Shutter(circle=(10.0, 8.0, 4.0)))
    y, x = np.mgrid[0:20, 0:20] + 0.5
    assert np.array_equal(made, (x - 10) ** 2 + (y - 8) ** 2 <= 16)


def test_a_polygon_shows_its_interior() -> None:
    """A triangle with a right angle, and a square that crosses itself."""
    triangle = shown(Shutter(polygon=((0.0, 0.0), (20.0, 0.0), (0.0, 20.0))))
    y, x = np.mgrid[0:20, 0:20] + 0.5
    assert np.array_equal(triangle[x + y != 20], (x + y < 20)[x + y != 20])
    bow_tie = shown(Shutter(polygon=((0.0, 0.0), (20.0, 20.0), (20.0, 0.0), (0.0, 20.0))))
    assert bow_tie[10, [2, 17]].all()
    assert not bow_tie[[2, 17], 10].any()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_polygon_shows_its_edges_however_it_is_turned(orientation: Orientation) -> None:
    corners = [(0.5, 0.5), (18.5, 0.5), (0.5, 18.5)]  # edges pass through the centres of pixels
    turned = tuple(orientation.point_back(x, y, 20, 20) for x, y in corners)
    y, x = np.mgrid[0:20, 0:20] + 0.5
    made, expected = orientation.turn(shown(Shutter(polygon=turned))), x + y <= 19
    made[[0, 0, 18], [0, 18, 0]] = True  # a vertex may or may not be shown
    assert np.array_equal(made, expected)


def test_shapes_add_up() -> None:
    both = shown(Shutter(rectangle=(0.0, 0.0, 10.0, 20.0), circle=(10.0, 10.0, 5.0)))
    alone = shown(Shutter(circle=(10.0, 10.0, 5.0)))
    assert np.array_equal(both[:, :10], alone[:, :10])
    assert not both[:, 10:].any()


@pytest.mark.parametrize("far", [1e6, 1e300])
def test_far_vertices_are_no_problem(far: float) -> None:
    made = shown(Shutter(polygon=((-far, -far), (far, -far), (far, far), (-far, far))))
    assert made.all()


def test_a_polygon_without_area_shows_nothing() -> None:
    assert not shown(Shutter(polygon=((3.0, 3.0), (9.0, 9.0), (3.0, 3.0)))).any()
