"""YOLOv3: decoding and losses with values worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from training.losses.yolo import YoloTargets, best_prior, yolo_loss, yolo_targets
from training.model.yolo_head import PRIORS, YoloHead, decode

ONE = (((0.5, 0.5),),)
"""One map with one prior."""
KNOWN = torch.ones(1, 1, dtype=torch.bool)


def raw(*values: float, cells: int = 2, labels: int = 1) -> Tensor:
    """A map of one prior, 0 but for the first cell."""
    level = torch.zeros(1, 1, 5 + labels, cells, cells)
    level[0, 0, : len(values), 0, 0] = torch.tensor(values)
    return level


def target(box: tuple[float, ...], known: Tensor = KNOWN, cells: int = 2) -> YoloTargets:
    """Of one map with one prior."""
    (found,) = yolo_targets([{0: torch.tensor([box])}], known, [(cells, cells)], ONE)
    return found


def test_the_priors_are_the_paper_s_in_sides_of_the_image() -> None:
    pixels = [[(round(w * 416), round(h * 416)) for w, h in scale] for scale in PRIORS]
    assert pixels[0] == [(10, 13), (16, 30), (33, 23)]
    assert pixels[1] == [(30, 61), (62, 45), (59, 119)]
    assert pixels[2] == [(116, 90), (156, 198), (373, 326)]


def test_zeros_are_the_prior_in_the_middle_of_each_cell() -> None:
    boxes = decode([raw()], ONE)["boxes"][0]
    assert boxes.tolist() == [
        [0, 0, 0.5, 0.5],
        [0.5, 0, 1, 0.5],
        [0, 0.5, 0.5, 1],
        [0.5, 0.5, 1, 1],
    ]


def test_a_box_is_placed_in_its_cell_and_grows_from_its_prior() -> None:
    level = raw(math.log(3), -math.log(3), math.log(0.5), math.log(0.25))  # 0.75, 0.25 of a cell
    found = decode([level], ONE)["boxes"][0, 0]
    assert found.tolist() == pytest.approx(
        [0.375 - 0.125, 0.125 - 0.0625, 0.375 + 0.125, 0.125 + 0.0625]
    )


def test_the_score_is_objectness_times_class() -> None:
    found = decode([raw(0, 0, 0, 0, 1.5, -0.5)], ONE)["logits"][0, 0, 0]
    assert found.sigmoid().item() == pytest.approx(
        torch.tensor(1.5).sigmoid().item() * torch.tensor(-0.5).sigmoid().item()
    )


@pytest.mark.parametrize(
    ("objectness", "label", "logit"),
    [(200.0, 200.0, 200.0), (-200.0, 200.0, -200.0), (-200.0, -200.0, -400.0), (3e4, -3e4, -3e4)],
)
def test_an_extreme_score_is_finite(objectness: float, label: float, logit: float) -> None:
    found = decode([raw(0, 0, 0, 0, objectness, label)], ONE)["logits"][0, 0, 0]
    assert found.item() == pytest.approx(logit, abs=1)


@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_no_raw_answer_makes_a_box_that_is_not_finite(value: float) -> None:
    boxes = decode([raw(value, value, value, value)], ONE)["boxes"]
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


@pytest.mark.parametrize(
    ("size", "best"),
    [((10, 13), (0, 0)), ((64, 50), (1, 1)), ((400, 380), (2, 2)), ((2, 2), (0, 0))],
)
def test_a_box_belongs_to_the_prior_of_its_shape(
    size: tuple[int, int], best: tuple[int, int]
) -> None:
    assert best_prior(size[0] / 416, size[1] / 416, PRIORS) == best


def test_the_target_is_where_decoding_gives_the_box_back() -> None:
    box = (0.55, 0.2, 0.85, 0.45)  # centre 0.7, 0.325: second column, first row
    found = target(box)
    assert found.positive.nonzero().tolist() == [[0, 0, 0, 1]]
    x, y, width, height = found.boxes[0, 0, :, 0, 1].tolist()
    assert (x, y) == pytest.approx((0.4, 0.65))
    level = torch.zeros(1, 1, 6, 2, 2)
    level[0, 0, :4, 0, 1] = torch.tensor(
        [math.log(x / (1 - x)), math.log(y / (1 - y)), width, height]
    )
    assert decode([level], ONE)["boxes"][0, 1].tolist() == pytest.approx(box)


def test_a_centre_on_the_last_edge_is_in_the_last_cell() -> None:
    assert target((0.9, 0.9, 1.1, 1.1)).positive.nonzero().tolist() == [[0, 0, 1, 1]]


def test_a_prior_that_overlaps_a_box_by_more_than_a_half_is_not_called_empty() -> None:
    priors = [((0.5, 0.5), (0.4, 0.4), (0.3, 0.3))]
    box = torch.tensor([[0.0, 0.0, 0.5, 0.5]])  # the first cell; the others 0.64 and 0.36 of it
    (found,) = yolo_targets([{0: box}], KNOWN, [(2, 2)], priors)
    assert found.positive.nonzero().tolist() == [[0, 0, 0, 0]]
    rest = [[True, True], [True, True]]
    ignored = [[False, True], [True, True]]
    assert found.empty[0].tolist() == [ignored, ignored, rest]


def test_where_boxes_are_not_known_no_prior_is_called_empty() -> None:
    known = torch.tensor([[True, False]])
    (found,) = yolo_targets([{0: torch.tensor([[0.1, 0.1, 0.4, 0.4]])}], known, [(2, 2)], ONE)
    assert found.positive.sum() == 1
    assert not found.empty.any()


def test_the_losses_are_the_sums_by_hand() -> None:
    # one positive at the first cell; three empty priors, one label
    found = target((0.125, 0.125, 0.375, 0.375))  # the middle of the cell, half of the prior
    assert found.boxes[0, 0, :, 0, 0].tolist() == pytest.approx(
        [0.5, 0.5, math.log(0.5), math.log(0.5)]
    )
    losses = yolo_loss([raw(0, 0, 1, 0, 2, -1)], [found], KNOWN)
    growth = (1 - math.log(0.5)) ** 2 + math.log(0.5) ** 2
    coordinates = 2.5 * (2 * math.log(2) + growth)
    assert losses["coordinates"].item() == pytest.approx(coordinates, rel=1e-5)
    objectness = math.log(1 + math.exp(-2)) + 0.5 * 3 * math.log(2)
    assert losses["objectness"].item() == pytest.approx(objectness, rel=1e-5)
    assert losses["classes"].item() == pytest.approx(math.log(1 + math.exp(1)), rel=1e-5)


def test_a_label_that_is_not_known_costs_nothing() -> None:
    known = torch.tensor([[True, False]])
    targets = yolo_targets([{0: torch.tensor([[0.1, 0.1, 0.4, 0.4]])}], known, [(2, 2)], ONE)
    level = raw(0, 0, 0, 0, 0, 3, 8, labels=2).requires_grad_()
    losses = yolo_loss([level], targets, known)
    assert losses["classes"].item() == pytest.approx(math.log(1 + math.exp(-3)), rel=1e-5)
    sum(losses.values(), torch.zeros(())).backward()
    assert level.grad is not None
    assert level.grad[:, :, 6].abs().max() == 0
    assert level.grad[0, 0, 4].count_nonzero() == 1  # the positive alone


def test_an_image_without_a_box_teaches_that_every_prior_is_empty() -> None:
    level = raw().requires_grad_()
    losses = yolo_loss([level], yolo_targets([{}], KNOWN, [(2, 2)], ONE), KNOWN)
    assert losses["coordinates"].item() == losses["classes"].item() == 0
    assert losses["objectness"].item() == pytest.approx(0.5 * 4 * math.log(2))
    losses["objectness"].backward()
    assert level.grad is not None
    assert (level.grad[:, :, 4] > 0).all()


def test_before_training_nearly_no_prior_holds_a_box() -> None:
    torch.manual_seed(0)
    head = YoloHead((8, 8, 8), 2, widths=(8, 8, 8)).eval()
    maps = [torch.randn(1, 8, side, side) for side in (8, 4, 2)]
    assert head(*maps)["logits"].sigmoid().max() < 0.1
