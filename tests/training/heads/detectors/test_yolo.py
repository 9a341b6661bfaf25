"""YOLOv3: decoding with values worked out by hand."""

import math

import pytest
import torch

from tests.builders.heads.yolo_maps import ONE_PRIOR, raw_map, target_of
from training.heads.detectors.yolo import YoloHead, decode
from training.losses.yolo import PRIORS


def test_zeros_are_the_prior_in_the_middle_of_each_cell() -> None:
    boxes = decode([raw_map()], ONE_PRIOR)["boxes"][0]
    assert boxes.tolist() == [
        [0, 0, 0.5, 0.5],
        [0.5, 0, 1, 0.5],
        [0, 0.5, 0.5, 1],
        [0.5, 0.5, 1, 1],
    ]


def test_a_box_is_placed_in_its_cell_and_grows_from_its_prior() -> None:
    level = raw_map(
        math.log(3), -math.log(3), math.log(0.5), math.log(0.25)
    )  # 0.75, 0.25 of a cell
    found = decode([level], ONE_PRIOR)["boxes"][0, 0]
    assert found.tolist() == pytest.approx(
        [0.375 - 0.125, 0.125 - 0.0625, 0.375 + 0.125, 0.125 + 0.0625]
    )


def test_the_score_is_objectness_times_class() -> None:
    found = decode([raw_map(0, 0, 0, 0, 1.5, -0.5)], ONE_PRIOR)["logits"][0, 0, 0]
    assert found.sigmoid().item() == pytest.approx(
        torch.tensor(1.5).sigmoid().item() * torch.tensor(-0.5).sigmoid().item()
    )


@pytest.mark.parametrize(
    ("objectness", "label", "logit"),
    [(200.0, 200.0, 200.0), (-200.0, 200.0, -200.0), (-200.0, -200.0, -400.0), (3e4, -3e4, -3e4)],
)
def test_an_extreme_score_is_finite(objectness: float, label: float, logit: float) -> None:
    found = decode([raw_map(0, 0, 0, 0, objectness, label)], ONE_PRIOR)["logits"][0, 0, 0]
    assert found.item() == pytest.approx(logit, abs=1)


@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_no_raw_answer_makes_a_box_that_is_not_finite(value: float) -> None:
    boxes = decode([raw_map(value, value, value, value)], ONE_PRIOR)["boxes"]
    assert torch.isfinite(boxes).all()
    assert ((boxes >= 0) & (boxes <= 1)).all()


def test_scales_are_joined_cell_by_cell_with_their_own_priors() -> None:
    maps = [torch.zeros(2, 3, 7, side, side) for side in (8, 4, 2)]
    found = decode(maps)
    assert found["boxes"].shape == (2, 3 * (64 + 16 + 4), 4)
    assert found["logits"].shape == (2, 2, 3 * (64 + 16 + 4))
    width, height = PRIORS[1][2]  # the third prior of stride 16 follows two of 16 cells
    first = found["boxes"][0, 3 * 64 + 2 * 16]
    assert first.tolist() == pytest.approx(
        [0.125 - width / 2, 0, 0.125 + width / 2, 0.125 + height / 2]
    )


def test_the_target_is_where_decoding_gives_the_box_back() -> None:
    box = (0.55, 0.2, 0.85, 0.45)  # centre 0.7, 0.325: second column, first row
    found = target_of(box)
    assert found.positive.nonzero().tolist() == [[0, 0, 0, 1]]
    x, y, width, height = found.boxes[0, 0, :, 0, 1].tolist()
    assert (x, y) == pytest.approx((0.4, 0.65))
    level = torch.zeros(1, 1, 6, 2, 2)
    level[0, 0, :4, 0, 1] = torch.tensor(
        [math.log(x / (1 - x)), math.log(y / (1 - y)), width, height]
    )
    assert decode([level], ONE_PRIOR)["boxes"][0, 1].tolist() == pytest.approx(box)


def test_before_training_nearly_no_prior_holds_a_box() -> None:
    torch.manual_seed(0)
    head = YoloHead((8, 8, 8), 2, widths=(8, 8, 8)).eval()
    maps = [torch.randn(1, 8, side, side) for side in (8, 4, 2)]
    assert head(*maps)["logits"].sigmoid().max() < 0.1
