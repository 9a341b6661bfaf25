"""Targets and losses of the centre detector against values worked out by hand."""

import math

import pytest
import torch

from training.losses.box_overlap import giou_losses
from training.losses.centre_detection import (
    detection_loss,
    distances_to_boxes,
    edge_losses,
    make_targets,
)

UNIT = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
GIOU = pytest.mark.parametrize(
    ("other", "giou"),
    [([0, 0, 1, 1], 1.0), ([1, 0, 2, 1], 0.0), ([2, 0, 3, 1], -1 / 3), ([0.5, 0, 1.5, 1], 1 / 3)],
)


@GIOU
def test_the_giou_is_that_worked_out_by_hand(other: list[float], giou: float) -> None:
    loss = giou_losses(UNIT, torch.tensor([other]).float())
    assert 1 - loss.item() == pytest.approx(giou, abs=1e-6)


@GIOU
def test_edges_cost_the_sum_of_their_errors_and_the_missing_giou(
    other: list[float], giou: float
) -> None:
    errors = sum(abs(a - b) for a, b in zip(other, UNIT[0].tolist(), strict=True))
    loss = edge_losses(UNIT, torch.tensor([other]).float())
    assert loss.item() == pytest.approx(errors + 1 - giou, abs=1e-6)


def test_a_box_makes_its_centre_cell_positive() -> None:
    box = torch.tensor([[0.25, 0.25, 0.75, 0.75]])
    targets = make_targets([{1: box}], torch.tensor([[True, True]]), 5, 5)
    assert targets.centres[0, 1, 2, 2] == 1.0
    assert targets.centres[0, 1, 2, 3].item() == pytest.approx(math.exp(-8), rel=1e-3)
    assert targets.centres[0, 0].sum() == 0.0
    assert targets.positive.nonzero().tolist() == [[0, 1, 2, 2]]
    assert targets.boxes[0, 1, :, 2, 2].tolist() == box[0].tolist()


def test_distances_are_measured_from_the_centre_of_the_cell() -> None:
    distances = torch.tensor([0.1, 0.2, 0.3, 0.4]).view(1, 1, 4, 1, 1)
    boxes = distances_to_boxes(distances)[0, 0, :, 0, 0]
    assert boxes.tolist() == pytest.approx([0.4, 0.3, 0.8, 0.9])


def test_right_edges_cost_nothing_and_an_undecided_centre_a_quarter_of_log_2() -> None:
    box = torch.tensor([[0.25, 0.25, 0.75, 0.75]])
    targets = make_targets([{0: box}], torch.tensor([[True]]), 1, 1)
    losses = detection_loss(torch.zeros(1, 1, 1, 1), torch.full((1, 1, 4, 1, 1), 0.25), targets)
    assert losses["centres"].item() == pytest.approx(0.25 * math.log(2))
    assert losses["edges"].item() == pytest.approx(0.0, abs=1e-6)


def test_labels_whose_boxes_are_not_known_cost_nothing() -> None:
    targets = make_targets([{}], torch.tensor([[False]]), 3, 3)
    losses = detection_loss(torch.zeros(1, 1, 3, 3), torch.rand(1, 1, 4, 3, 3), targets)
    assert losses["centres"].item() == losses["edges"].item() == 0.0
