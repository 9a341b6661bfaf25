"""Turning pixels upright and results back is exact, for all eight orientations of an image."""

from itertools import product

import numpy as np
import pytest

from radiograph.geometry.orientation import UPRIGHT, Orientation

ALL = [Orientation(*steps) for steps in product((False, True), repeat=3)]

DIRECTIONS = {
    "L\\F": "none",
    "R\\F": "mirrored",
    "R\\H": "rotated_180",
    "L\\H": "flipped",
    "F\\L": "transposed",
    "H\\L": "rotated_270",
    "F\\R": "rotated_90",
    "H\\R": "transversed",
}
"""Patient Orientation -> the movement that turns the stored pixels upright."""

PATIENT = np.array([["HR", "HL"], ["FR", "FL"]])
"""An upright frontal image of four pixels, named by the corner of the patient that each shows."""


@pytest.mark.parametrize(("directions", "name"), DIRECTIONS.items())
def test_patient_orientation_names_the_movement(directions: str, name: str) -> None:
    orientation = Orientation.from_directions(directions.split("\\"))
    assert orientation is not None
    assert orientation.name == name


@pytest.mark.parametrize("directions", DIRECTIONS)
def test_pixels_stored_as_the_header_says_come_out_upright(directions: str) -> None:
    row, column = directions.split("\\")
    opposite = {"L": "R", "R": "L", "H": "F", "F": "H"}

    def corner(down: int, right: int) -> str:
        ends = (row if right else opposite[row], column if down else opposite[column])
        return "".join(sorted(ends, key="HFRL".index))

    stored = np.array([[corner(down, right) for right in (0, 1)] for down in (0, 1)])
    orientation = Orientation.from_directions((row, column))
    assert orientation is not None
    assert orientation.turn(stored).tolist() == PATIENT.tolist()


@pytest.mark.parametrize("row", ["LR", "RL", "LAR", "LL F", "L/F", "LX", "LLLL"])
def test_a_direction_that_contradicts_itself_has_no_orientation(row: str) -> None:
    assert Orientation.from_directions([row, "F"]) is None
    assert Orientation.from_directions(["L", row]) is None


@pytest.mark.parametrize("column", ["FH", "HF", "HAF"])
def test_head_and_feet_at_once_have_no_orientation(column: str) -> None:
    assert Orientation.from_directions(["L", column]) is None


def test_words_count_as_their_letter() -> None:
    assert Orientation.from_directions(["RIGHT", "HEAD"]) == Orientation.from_directions(["R", "H"])


@pytest.mark.parametrize(
    "directions",
    [[], ["L"], ["L", ""], ["A", "F"], ["P", "F"], ["L", "R"], ["H", "F"], ["X", "F"], ["L", "A"]],
)
def test_directions_that_are_no_frontal_image_have_no_orientation(directions: list[str]) -> None:
    assert Orientation.from_directions(directions) is None


def test_the_first_letter_of_an_oblique_direction_counts() -> None:
    assert Orientation.from_directions(["LF", "FR"]) == UPRIGHT


@pytest.mark.parametrize("orientation", ALL)
def test_turning_there_and_back_gives_the_same_pixels(orientation: Orientation) -> None:
    stored = np.arange(2 * 3 * 5).reshape(2, 3, 5)
    upright = orientation.turn(stored)
    assert upright.shape[1:] == orientation.upright_shape(3, 5)
    assert np.array_equal(orientation.turn_back(upright), stored)


@pytest.mark.parametrize("orientation", ALL)
def test_a_box_turned_back_covers_the_pixels_that_it_covered(orientation: Orientation) -> None:
    rows, columns = 7, 11
    stored = np.arange(rows * columns).reshape(rows, columns)
    upright = orientation.turn(stored)
    x0, y0, x1, y1 = orientation.box_back((1, 2, 4, 6), rows, columns)
    covered = stored[int(y0) : int(y1), int(x0) : int(x1)]
    assert sorted(covered.ravel()) == sorted(upright[2:6, 1:4].ravel())
    assert orientation.box((x0, y0, x1, y1), rows, columns) == (1, 2, 4, 6)


@pytest.mark.parametrize("orientation", ALL)
def test_the_centre_of_a_pixel_turned_back_is_the_centre_of_that_pixel(
    orientation: Orientation,
) -> None:
    rows, columns = 4, 6
    stored = np.arange(rows * columns).reshape(rows, columns)
    upright = orientation.turn(stored)
    for y, x in np.ndindex(*upright.shape):
        stored_x, stored_y = orientation.point_back(x + 0.5, y + 0.5, rows, columns)
        assert stored[int(stored_y), int(stored_x)] == upright[y, x]
        assert orientation.point(stored_x, stored_y, rows, columns) == (x + 0.5, y + 0.5)
