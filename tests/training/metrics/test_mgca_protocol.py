"""The faults of the published way of measuring: each shown to inflate what it measures."""

import numpy as np
import pytest

from radiograph.geometry.geometry import Box, Geometry
from training.metrics import BoxesOfImage, dice, match
from training.metrics.arrays import once
from training.metrics.mgca_protocol import grid_dice, mean_of_batches, on_grid, published_boxes

HERE: Box = (0.0, 0.0, 10.0, 10.0)
THERE: Box = (20.0, 20.0, 30.0, 30.0)
FOUND = BoxesOfImage((0.9,), (HERE,), (HERE,))


def _map(images: list[BoxesOfImage]) -> float:
    return float(match(images).average_precision(once(len(images)), "coco").mean())


def test_images_of_a_short_last_batch_weigh_more() -> None:
    values = [0.0, 0.0, 0.0, 0.0, 1.0]  # batches of 4: means 0 and 1
    assert mean_of_batches(values, 4) == 0.5
    assert np.mean(values) == pytest.approx(0.2)
    assert mean_of_batches(values, 5) == pytest.approx(0.2)
    assert np.isnan(mean_of_batches([], 4))


def test_on_the_grid_a_missed_small_structure_counts_as_found() -> None:
    geometry = Geometry.fit(64, 64, 8)
    truth = np.zeros((64, 64), dtype=bool)
    truth[10:13, 10:13] = True  # 3 x 3 pixels in a cell of 8 x 8
    nothing = np.full((8, 8), -5, dtype=np.float32)
    assert dice(np.zeros_like(truth), truth) == 0.0
    assert grid_dice(nothing, truth, geometry) == 1.0


def test_a_mask_on_the_grid_is_placed_like_its_image() -> None:
    geometry = Geometry.fit(4, 8, 8)  # rows 2 to 5 of the grid
    truth = np.zeros((4, 8), dtype=bool)
    truth[:, :4] = True
    expected = np.zeros((8, 8), dtype=bool)
    expected[2:6, :4] = True
    assert np.array_equal(on_grid(truth, geometry, 8), expected)
    assert np.array_equal(on_grid(truth, geometry, 4), expected[::2, ::2])


def test_skipping_images_without_a_prediction_inflates_the_map() -> None:
    images = [FOUND, BoxesOfImage((), (), (HERE,)), BoxesOfImage((), (), (THERE,))]
    assert list(published_boxes(images)) == [0]
    assert _map(list(published_boxes(images).values())) == 1.0
    assert _map(images) == pytest.approx(34 / 101)  # precision 1 up to recall 1/3


def test_skipping_images_without_a_true_box_inflates_the_map() -> None:
    images = [FOUND, BoxesOfImage((0.95,), (THERE,), ())]
    assert list(published_boxes(images)) == [0]
    assert _map(list(published_boxes(images).values())) == 1.0
    assert _map(images) == pytest.approx(0.5)


def test_boxes_below_confidence_are_dropped_and_their_image_with_them() -> None:
    images = [FOUND, BoxesOfImage((0.4,), (THERE,), (HERE,))]
    assert list(published_boxes(images)) == [0]
    both = BoxesOfImage((0.9, 0.4), (HERE, THERE), (HERE, THERE))
    assert published_boxes([both])[0] == BoxesOfImage((0.9,), (HERE,), (HERE, THERE))


def test_without_images_the_published_metrics_are_undefined() -> None:
    assert published_boxes([]) == {}
    assert np.isnan(_map(list(published_boxes([BoxesOfImage((), (), ())]).values())))
