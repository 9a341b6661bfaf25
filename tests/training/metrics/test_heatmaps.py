"""Metrics of heat maps, by hand."""

import numpy as np
import pytest

from training.metrics import (
    contrast_to_noise,
    points_inside,
    region_recall,
)


def test_the_pointing_game_by_hand() -> None:
    heat, truth = np.array([[0.1, 0.9], [0.2, 0.3]]), np.array([[False, True], [False, False]])
    assert points_inside(heat, truth)
    assert not points_inside(heat, ~truth)
    with pytest.raises(ValueError, match="pointing"):
        points_inside(heat * np.nan, truth)


def test_contrast_to_noise_by_hand() -> None:
    heat = np.array([[1.0, 3.0], [0.0, 2.0]])  # inside 2 +- 1, outside 1 +- 1
    truth = np.array([[True, True], [False, False]])
    assert contrast_to_noise(heat, truth) == pytest.approx(1 / np.sqrt(2))
    assert contrast_to_noise(heat, ~truth) == pytest.approx(-1 / np.sqrt(2))
    assert contrast_to_noise(5 * heat + 7, truth) == pytest.approx(1 / np.sqrt(2))
    assert np.isnan(contrast_to_noise(heat, truth & False))
    assert np.isnan(contrast_to_noise(heat * 0, truth))
    corner = np.array([[True, False], [True, True]])  # the 3 is not counted: 1 - 1 = 0
    assert contrast_to_noise(heat, truth, corner) == 0.0


def test_a_region_is_recalled_by_the_box_around_a_connected_part_of_it() -> None:
    region = np.zeros((8, 8), dtype=bool)
    region[0:2, 0:2] = region[5:8, 5:8] = True
    assert region_recall(region, [(0.0, 0.0, 2.0, 2.0)], 0.99) == 1.0
    assert region_recall(region, [(0.0, 0.0, 2.0, 2.0), (0.0, 6.0, 2.0, 8.0)], 0.1) == 0.5
    assert region_recall(region, [(4.0, 4.0, 8.0, 8.0)], 9 / 16) == 1.0
    assert region_recall(region & False, [(0.0, 0.0, 2.0, 2.0)]) == 0.0
    assert np.isnan(region_recall(region, []))
