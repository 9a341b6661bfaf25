"""Average precision, by hand and against torchmetrics."""

import numpy as np
import pytest
import torch
from torchmetrics.detection import MeanAveragePrecision

from radiograph.geometry.geometry import Box
from training.metrics import (
    MAP_IOUS,
    BoxesOfImage,
    average_precision,
    match,
)
from training.metrics.arrays import once

UNIT = (0.0, 0.0, 1.0, 1.0)
FAR = (5.0, 5.0, 6.0, 6.0)
MIDDLE = (2.0, 2.0, 3.0, 3.0)


def _drawn(seed: int, count: int = 40) -> list[BoxesOfImage]:
    """Images with 0 to 3 true boxes and 0 to 4 predicted ones, some of them near a true one."""
    rng = np.random.default_rng(seed)

    def box(near: Box | None = None) -> Box:
        x, y, w, h = (*rng.uniform(0, 60, 2), *rng.uniform(10, 40, 2))
        fresh = np.array([x, y, x + w, y + h])
        moved = fresh if near is None else np.array(near) + rng.normal(0, 4, 4)
        x0, y0, x1, y1 = moved.astype(np.float32).tolist()
        return (x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))

    images = []
    for _ in range(count):
        truth = tuple(box() for _ in range(rng.integers(0, 4)))
        near = [box(t) for t in truth if rng.random() < 0.8]
        predicted = (*near, *(box() for _ in range(rng.integers(0, 3))))
        scores = tuple(rng.random(len(predicted)).astype(np.float32).tolist())
        images.append(BoxesOfImage(scores, predicted, truth))
    return images


def test_average_precision_by_hand_with_an_image_that_has_no_prediction() -> None:
    images = [
        BoxesOfImage((0.9, 0.8), (UNIT, FAR), (UNIT,)),
        BoxesOfImage((), (), (UNIT,)),
        BoxesOfImage((0.95,), (UNIT,), ()),
    ]
    assert average_precision(images, 0.5) == pytest.approx(0.5 * (1 / 2))
    # precision 1/2 up to recall 0.5, so at 51 of the 101 recalls
    assert average_precision(images, 0.5, "coco") == pytest.approx(0.5 * 51 / 101)


def test_a_true_box_is_found_only_once() -> None:
    twice = [BoxesOfImage((0.9, 0.8), (UNIT, UNIT), (UNIT, FAR))]
    assert average_precision(twice, 0.5) == pytest.approx(0.5)


def test_average_precision_without_predictions_is_zero_and_without_truth_undefined() -> None:
    assert average_precision([BoxesOfImage((), (), (UNIT,))], 0.5) == 0.0
    assert average_precision([BoxesOfImage((), (), (UNIT,))], 0.5, "coco") == 0.0
    assert np.isnan(average_precision([BoxesOfImage((0.5,), (UNIT,), ())], 0.5))
    assert np.isnan(average_precision([], 0.5))


def test_a_box_with_a_score_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="average precision: 1 of 1"):
        match([BoxesOfImage((float("nan"),), (UNIT,), (UNIT,))])
    with pytest.raises(ValueError, match="boxes: 1 of 4"):
        match([BoxesOfImage((0.5,), ((0.0, 0.0, float("inf"), 1.0),), (UNIT,))])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_map_at_101_recalls_is_that_of_torchmetrics(seed: int) -> None:
    images = _drawn(seed)
    theirs = MeanAveragePrecision(iou_thresholds=list(MAP_IOUS))
    for image in images:
        predicted = torch.tensor(image.predicted).reshape(-1, 4)
        truth = torch.tensor(image.truth).reshape(-1, 4)
        theirs.update(
            [
                {
                    "boxes": predicted,
                    "scores": torch.tensor(image.scores),
                    "labels": torch.zeros(len(predicted), dtype=torch.int64),
                }
            ],
            [{"boxes": truth, "labels": torch.zeros(len(truth), dtype=torch.int64)}],
        )
    ours = match(images).average_precision(once(len(images)), "coco").mean()
    assert ours == pytest.approx(float(theirs.compute()["map"]), abs=1e-6)


def test_both_interpolations_agree_where_precision_never_falls() -> None:
    images = [BoxesOfImage((0.9,), (UNIT,), (UNIT,)), BoxesOfImage((0.8,), (FAR,), (FAR,))]
    assert average_precision(images, 0.5) == average_precision(images, 0.5, "coco") == 1.0


def test_average_precision_of_a_resample_is_that_of_the_repeated_images() -> None:
    images = _drawn(3)
    counts = np.random.default_rng(0).integers(0, 3, len(images))
    again = [image for image, count in zip(images, counts, strict=True) for _ in range(count)]
    for how in ("all_points", "coco"):
        weighted = match(images).average_precision(counts, how)
        repeated = match(again).average_precision(once(len(again)), how)
        assert weighted == pytest.approx(repeated)


def test_the_published_ious_are_eight_from_040_to_075() -> None:
    assert MAP_IOUS == (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75)


def test_recall_at_a_number_of_false_boxes_by_hand() -> None:
    """Scores 0.9 hit, 0.8 false, 0.7 hit, 0.6 false, 0.5 hit: of three images, one is empty."""
    images = [
        BoxesOfImage((0.9, 0.8, 0.5), (UNIT, FAR, MIDDLE), (UNIT, MIDDLE)),
        BoxesOfImage((0.7,), (UNIT,), (UNIT, FAR)),
        BoxesOfImage((0.6,), (UNIT,), ()),
    ]
    matched = match(images, (0.3,))
    for false_per_image, expected in ((0, 1 / 4), (1 / 3, 2 / 4), (2 / 3, 3 / 4), (9, 3 / 4)):
        assert matched.recall_at(false_per_image, once(3)) == pytest.approx([expected])
    assert matched.recall_at(1 / 3, np.array([1, 0, 2])) == pytest.approx([1 / 2])
    assert np.isnan(matched.recall_at(1, np.array([0, 0, 1]))).all()
