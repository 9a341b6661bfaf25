"""Components of masks: right by hand, the same as SciPy's, and bounded for every mask."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from radiograph.geometry.geometry import Geometry
from radiograph.manifest import MaskCleaning
from radiograph.postprocess.components import (
    clean_map,
    clean_mask,
    find_components,
)
from radiograph.postprocess.mask_upsampling import threshold_at_source

ONE = MaskCleaning(largest=1)
WHOLE = MaskCleaning(largest=1, fill_holes=True)
HOLES = MaskCleaning(fill_holes=True)

Bools = NDArray[np.bool_]


def drawn(picture: str) -> Bools:
    """A mask from lines of `#` and `.`."""
    return np.array([[cell == "#" for cell in line] for line in picture.split()])


LUNG = drawn("""
    ........#
    .####....
    .#..#....
    .####...#
    ....#....
    #........
    ##.......
""")


@st.composite
def masks(draw: st.DrawFn) -> Bools:
    """Masks of up to 24 x 24 cells of any density."""
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    return np.asarray(random.random((height, width)) < draw(st.floats(0, 1)))


@st.composite
def cleanings(draw: st.DrawFn) -> MaskCleaning:
    largest = draw(st.one_of(st.none(), st.integers(1, 4)))
    min_share = draw(st.sampled_from([0.0, 0.05, 0.5, 1.0]))
    nothing = largest is None and not min_share
    return MaskCleaning(
        largest=largest, min_share=min_share, fill_holes=nothing or draw(st.booleans())
    )


def test_components_are_numbered_by_their_first_cells() -> None:
    found = find_components(LUNG)
    assert found.areas.tolist() == [1, 11, 1, 3]
    last = np.array([False, False, False, True])
    assert found.cells(last).tolist() == [5 * 9, 6 * 9, 6 * 9 + 1]


def test_cells_that_touch_by_a_corner_are_apart() -> None:
    assert find_components(drawn("#. .#")).areas.tolist() == [1, 1]
    assert find_components(drawn("## .#")).areas.tolist() == [3]


def test_a_run_at_the_end_of_a_row_does_not_go_on_in_the_next_row() -> None:
    assert find_components(drawn("..# #..")).areas.tolist() == [1, 1]


@settings(max_examples=200, deadline=None)
@given(masks())
def test_components_are_those_of_scipy(mask: Bools) -> None:
    labels, count = ndimage.label(mask)
    found = find_components(mask)
    assert found.areas.tolist() == np.bincount(labels.ravel(), minlength=count + 1)[1:].tolist()
    for number in range(count):
        cells = found.cells(np.arange(count) == number)
        assert np.array_equal(cells, np.flatnonzero(labels == number + 1))
    members, numbers = found.members()
    assert np.array_equal(members, np.flatnonzero(labels))
    assert np.array_equal(numbers + 1, labels.flat[members])


def test_the_largest_component_stays_and_its_hole_is_filled() -> None:
    expected = drawn("""
        .........
        .####....
        .####....
        .####....
        ....#....
        .........
        .........
    """)
    assert np.array_equal(clean_mask(LUNG, WHOLE), expected)


def test_a_share_keeps_every_component_that_reaches_it() -> None:
    of_11 = [np.count_nonzero(clean_mask(LUNG, MaskCleaning(min_share=x / 11))) for x in (1, 3, 4)]
    assert of_11 == [16, 14, 11]


def test_the_largest_components_stay_only_if_they_reach_the_share() -> None:
    two = MaskCleaning(largest=2)
    assert np.count_nonzero(clean_mask(LUNG, two)) == 14
    assert np.count_nonzero(clean_mask(LUNG, MaskCleaning(largest=2, min_share=0.5))) == 11


def test_of_equal_components_the_first_one_stays() -> None:
    assert np.array_equal(clean_mask(drawn("#.#"), ONE), drawn("#.."))


def test_a_notch_at_the_border_is_not_a_hole() -> None:
    notched = drawn("#.# #.# ###")
    assert np.array_equal(clean_mask(notched, HOLES), notched)


def test_an_island_in_a_hole_is_filled_with_it() -> None:
    ring = np.pad(np.pad(np.pad(drawn("#"), 1), 1, constant_values=True), 1)
    expected = np.pad(np.ones((5, 5), dtype=bool), 1)
    assert np.array_equal(clean_mask(ring, WHOLE), expected)


@pytest.mark.parametrize("value", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (224, 224)])
def test_an_empty_and_a_full_mask_stay(value: bool, shape: tuple[int, int]) -> None:
    mask = np.full(shape, value)
    assert np.array_equal(clean_mask(mask, WHOLE), mask)


@settings(max_examples=200, deadline=None)
@given(masks(), cleanings())
def test_cleaning_twice_is_cleaning_once(mask: Bools, cleaning: MaskCleaning) -> None:
    once = clean_mask(mask, cleaning)
    assert np.array_equal(clean_mask(once, cleaning), once)


@settings(max_examples=200, deadline=None)
@given(masks(), cleanings())
def test_a_clean_mask_is_a_part_of_the_filled_mask(mask: Bools, cleaning: MaskCleaning) -> None:
    before = mask.copy()
    cleaned = clean_mask(mask, cleaning)
    filled = ndimage.binary_fill_holes(mask) if cleaning.fill_holes else mask
    assert not (cleaned & ~filled).any()
    assert cleaned.any() == mask.any()
    assert np.array_equal(mask, before)
    count = ndimage.label(cleaned)[1]
    assert cleaning.largest is None or count <= cleaning.largest


@settings(max_examples=100, deadline=None)
@given(masks())
def test_a_mask_without_islands_and_holes_is_unchanged(mask: Bools) -> None:
    cleaned = clean_mask(mask, WHOLE)
    assert ndimage.label(cleaned)[1] <= 1
    assert np.array_equal(ndimage.binary_fill_holes(cleaned), cleaned)
    for cleaning in (ONE, HOLES, WHOLE, MaskCleaning(min_share=1.0)):
        assert np.array_equal(clean_mask(cleaned, cleaning), cleaned)


def _comb(side: int) -> Bools:
    """Columns that are joined in the last row only."""
    comb = np.zeros((side, side), dtype=bool)
    comb[:, ::2] = comb[-1] = True
    return comb


def _spiral(side: int) -> Bools:
    """One path of a cell's width that winds inwards."""
    spiral = np.zeros((side, side), dtype=bool)
    for first in range(0, side // 2, 2):
        last = side - 1 - first
        spiral[first, max(first - 2, 0) : last + 1] = True
        spiral[first : last + 1, last] = spiral[last, first : last + 1] = True
        spiral[first + 2 : last + 1, first] = True
    return spiral


@pytest.mark.parametrize("side", [2048])
def test_a_checkerboard_of_millions_of_components_is_cleaned(side: int) -> None:
    row, column = np.ogrid[:side, :side]
    board = (row + column) % 2 == 0
    # Every dark cell inside is a hole; along the border each of them reaches it.
    filled = clean_mask(board, HOLES)
    assert filled[1:-1, 1:-1].all()
    assert np.array_equal(filled[0], board[0])
    assert clean_mask(board, ONE).sum() == 1


@pytest.mark.parametrize("mask", [_comb(2048), _comb(2048).T, _spiral(2048)])
def test_long_winding_components_are_one(mask: Bools) -> None:
    assert find_components(mask).areas.tolist() == [int(mask.sum())]


# maps


SQUARE = Geometry.fit(400, 400, 40)


def probabilities(mask: Bools) -> NDArray[np.float32]:
    return np.where(mask, 0.9, 0.2).astype(np.float32)


def lung_map(island: bool, hole: bool) -> NDArray[np.float32]:
    """40 x 40 cells with a soft edge, perhaps with an island and a hole."""
    row, column = np.mgrid[:40, :40]
    distance = 12 - np.hypot(row - 20, (column - 18) * 1.3)
    grid: NDArray[np.float32] = (1 / (1 + np.exp(-distance))).astype(np.float32)
    grid[2, 36] = 0.8 if island else grid[2, 36]
    grid[20, 18] = 0.3 if hole else grid[20, 18]
    return grid


def test_without_parameters_a_map_is_returned_as_it_is() -> None:
    grid = lung_map(island=True, hole=True)
    assert clean_map(grid, 0.5, None, SQUARE) is grid


def test_the_clean_map_gives_the_mask_of_the_sound_map_to_the_pixel() -> None:
    sound, _ = threshold_at_source(lung_map(island=False, hole=False), 0.5, SQUARE)
    grid = lung_map(island=True, hole=True)
    rough, _ = threshold_at_source(grid, 0.5, SQUARE)
    assert not np.array_equal(rough, sound)
    mask, _ = threshold_at_source(clean_map(grid, 0.5, WHOLE, SQUARE), 0.5, SQUARE)
    assert np.array_equal(mask, sound)
    assert grid[2, 36] == np.float32(0.8)  # the map that was given is not changed


def test_a_corner_moves_the_edge_of_what_stays_by_less_than_a_cell() -> None:
    cells = np.zeros((40, 40), dtype=bool)
    cells[10:20, 10:20] = cells[20, 20] = True
    grid = probabilities(cells)
    before, _ = threshold_at_source(grid, 0.5, SQUARE)
    after, _ = threshold_at_source(clean_map(grid, 0.5, ONE, SQUARE), 0.5, SQUARE)
    assert ndimage.label(after)[1] == 1
    moved_rows, moved_columns = np.nonzero(before != after)
    # A cell has 10 pixels; the centres of the touching cells are at 195 and 205.
    assert min(moved_rows.min(), moved_columns.min()) >= 190
    assert not after[200:, 200:].any()
    assert after[:190, :190].sum() == before[:190, :190].sum()


def test_a_component_in_the_padding_does_not_win() -> None:
    portrait = Geometry.fit(400, 200, 40)  # the image covers columns 10 to 30
    cells = np.zeros((40, 40), dtype=bool)
    cells[:, :8] = True
    cells[12:20, 14:22] = True
    cells[30, 25] = True
    mask, _ = threshold_at_source(
        clean_map(probabilities(cells), 0.5, ONE, portrait), 0.5, portrait
    )
    rows, columns = np.nonzero(mask)
    assert ndimage.label(mask)[1] == 1
    # The edge lies at 4 / 7 of the way from a cell of 0.9 to one of 0.2.
    assert (rows.min(), rows.max() + 1) == pytest.approx((120, 200), abs=1)
    assert (columns.min(), columns.max() + 1) == pytest.approx((40, 120), abs=1)


def test_a_hole_that_reaches_the_edge_of_the_image_stays() -> None:
    portrait = Geometry.fit(400, 200, 40)
    cells = np.zeros((40, 40), dtype=bool)
    cells[10:30, 9:20] = True
    cells[18:22, 9:15] = False
    grid = probabilities(cells)
    assert clean_map(grid, 0.5, WHOLE, portrait) is grid


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 300),
    columns=st.integers(1, 300),
    side=st.sampled_from([1, 7, 28, 56, 112]),
    seed=st.integers(0, 2**32),
)
def test_a_map_of_any_size_is_cleaned_once_and_for_all(
    rows: int, columns: int, side: int, seed: int
) -> None:
    geometry = Geometry.fit(rows, columns, 112)
    grid = np.random.default_rng(seed).random((side, side)).astype(np.float32)
    cleaned = clean_map(grid, 0.6, WHOLE, geometry)
    assert clean_map(cleaned, 0.6, WHOLE, geometry) is cleaned
    before, _ = threshold_at_source(grid, 0.6, geometry)
    after, _ = threshold_at_source(cleaned, 0.6, geometry)
    assert after.shape == before.shape == (rows, columns)
