"""Examples are preprocessed after the change, and say only what is known of them."""

from dataclasses import replace

import numpy as np
import pytest

from radiograph.geometry.orientation import Orientation
from radiograph.preprocess import PreprocessSpec
from radiograph.terminology.checks import CHECKS, Check
from training.data.checks.examples import (
    OUTLIER_TRUTH,
    answers,
    changed,
    chest_truth,
    draw_example,
    on_grid,
)
from training.data.checks.pictures import Change, Pixels, radiograph_of

SPEC = PreprocessSpec(version=2, size_px=32, crop="exposed_field")
RNG = np.random.default_rng(5)
PICTURE = (RNG.normal(120, 30, (48, 64)) + 60 * (np.arange(64) > 40)).clip(0, 255).astype(np.uint8)


def framed() -> Pixels:
    """Return the picture in a black frame, which the preprocessing removes."""
    return np.pad(PICTURE, ((16, 0), (8, 24)))


@pytest.mark.parametrize(
    ("turn", "quarters"),
    [(Check.TURNED_LEFT, 1), (Check.UPSIDE_DOWN, 2), (Check.TURNED_RIGHT, 3)],
)
def test_a_turned_picture_gives_the_turned_grid(turn: Check, quarters: int) -> None:
    upright = on_grid(radiograph_of(framed()), SPEC)
    turned = on_grid(changed(radiograph_of(framed()), Change(turn=turn)), SPEC)
    np.testing.assert_array_equal(turned, np.rot90(upright, quarters))  # anticlockwise


def test_the_border_of_an_inverted_picture_is_removed_too() -> None:
    sound = on_grid(radiograph_of(framed()), SPEC).astype(int)
    changed_one = changed(radiograph_of(framed()), Change(inverted=True))
    inverted = on_grid(changed_one, SPEC).astype(int)
    inside = slice(4, 28)  # the picture is 24 of 32 cells high
    assert abs(sound[inside] + inverted[inside] - 255).max() <= 1
    assert (inverted[:4] == 0).all()  # the padding of the grid is black all the same


def test_a_picture_is_changed_after_its_header_turned_it_upright() -> None:
    stored = Orientation(transposed=True, columns_flipped=True)
    on_its_side = radiograph_of(np.ascontiguousarray(stored.turn_back(PICTURE)))
    turned = changed(replace(on_its_side, orientation=stored), Change())
    np.testing.assert_array_equal(on_grid(turned, SPEC), on_grid(radiograph_of(PICTURE), SPEC))


def test_a_lateral_view_has_no_sides() -> None:
    truth = chest_truth(Change(mirrored=True), lateral=True)
    assert truth[Check.LATERAL]
    assert Check.MIRRORED not in truth
    assert chest_truth(Change(mirrored=True), lateral=False)[Check.MIRRORED]


def test_of_an_outlier_nothing_else_is_known() -> None:
    picture = radiograph_of(PICTURE)
    example = draw_example(picture, SPEC, np.random.default_rng(0), outlier=True)
    assert example.truth == OUTLIER_TRUTH
    truth, known = answers([example.truth, chest_truth(Change(), lateral=False)])
    column = CHECKS.index(Check.OUT_OF_DOMAIN)
    assert truth[:, column].tolist() == [1, 0]
    assert known.sum(axis=1).tolist() == [1, len(CHECKS)]


def test_examples_of_a_chest_have_every_kind_of_answer() -> None:
    drawn = [
        draw_example(radiograph_of(PICTURE), SPEC, np.random.default_rng(n)) for n in range(120)
    ]
    truth, known = answers([example.truth for example in drawn])
    assert all(0 < truth[known[:, k], k].mean() < 1 for k in range(len(CHECKS)))
    assert {example.grid.shape for example in drawn} == {(32, 32)}


def test_no_examples_are_answered_by_empty_arrays() -> None:
    truth, known = answers([])
    assert truth.shape == known.shape == (0, len(CHECKS))
