"""Changes of a picture have known pixels, and disturbances leave its middle as it is."""

import numpy as np
import pytest

from radiograph.image import DisplayTable
from radiograph.terminology.checks import Check
from training.data.checks.pictures import (
    Change,
    Pixels,
    disturb,
    draw_change,
    folded,
    inverse,
    radiograph_of,
    upright_pixels,
)

PICTURE = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8)


def shown(change: Change) -> Pixels:
    return upright_pixels(change.of(radiograph_of(PICTURE)))


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (Change(), [[1, 2, 3], [4, 5, 6]]),
        (Change(mirrored=True), [[3, 2, 1], [6, 5, 4]]),
        (Change(turn=Check.UPSIDE_DOWN), [[6, 5, 4], [3, 2, 1]]),
        (Change(turn=Check.TURNED_LEFT), [[3, 6], [2, 5], [1, 4]]),
        (Change(turn=Check.TURNED_RIGHT), [[4, 1], [5, 2], [6, 3]]),
        (Change(inverted=True), [[254, 253, 252], [251, 250, 249]]),
        (Change(mirrored=True, turn=Check.UPSIDE_DOWN), [[4, 5, 6], [1, 2, 3]]),
        (Change(mirrored=True, turn=Check.TURNED_RIGHT), [[6, 3], [5, 2], [4, 1]]),
    ],
)
def test_a_change_moves_the_pixels(change: Change, wanted: list[list[int]]) -> None:
    np.testing.assert_array_equal(shown(change), wanted)


def test_the_truth_of_a_change_names_every_check_that_it_decides() -> None:
    truth = Change(mirrored=True, turn=Check.TURNED_LEFT).truth
    assert {check for check, answer in truth.items() if answer} == {
        Check.MIRRORED,
        Check.TURNED_LEFT,
    }
    assert set(Check) - truth.keys() == {Check.LATERAL, Check.OUT_OF_DOMAIN}


def test_padding_stays_black_when_a_picture_is_inverted() -> None:
    padding = np.array([True, False])
    table = inverse(DisplayTable(np.array([0, 65535], dtype=np.uint16), padding))
    np.testing.assert_array_equal(table.brightness, [65535, 0])
    np.testing.assert_array_equal(table.pixels, [0, 0])  # the first as padding, the second inverted


def test_changes_of_all_kinds_are_drawn() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_change(rng) for _ in range(400)]
    assert 0.4 < np.mean([change.mirrored for change in drawn]) < 0.6
    assert 0.1 < np.mean([change.inverted for change in drawn]) < 0.3
    assert {change.turn for change in drawn} == {
        None,
        Check.UPSIDE_DOWN,
        Check.TURNED_LEFT,
        Check.TURNED_RIGHT,
    }


def test_a_folded_picture_is_narrow_and_mixes_both_halves() -> None:
    halves = np.repeat(np.array([[50, 200]], dtype=np.uint8), 40, axis=1).repeat(80, axis=0)
    made = [folded(halves, np.random.default_rng(seed)) for seed in range(12)]
    assert {picture.shape[0] for picture in made} == {80}
    assert all(picture.shape[1] <= 80 for picture in made)
    middles = {int(np.median(picture)) for picture in made}
    assert any(abs(middle - 125) <= 15 for middle in middles)  # both halves over each other
    assert middles & {50, 200}  # one half alone


def test_disturbances_leave_the_middle_and_the_given_picture() -> None:
    picture = np.full((60, 80), 100, dtype=np.uint8)
    made = [disturb(picture, np.random.default_rng(seed)) for seed in range(30)]
    assert (picture == 100).all()
    assert all((image[20:40, 30:50] == 100).all() for image in made)
    assert sum(bool((image != 100).any()) for image in made) >= 10
