"""Targets and losses of YOLOv3 against values worked out by hand."""

import math

import pytest
import torch

from tests.builders.heads.yolo_maps import KNOWN, ONE_PRIOR, raw_map, target_of
from training.losses.yolo import PRIORS, best_prior, yolo_loss, yolo_targets


def test_the_priors_are_the_paper_s_in_sides_of_the_image() -> None:
    pixels = [[(round(w * 416), round(h * 416)) for w, h in scale] for scale in PRIORS]
    assert pixels[0] == [(10, 13), (16, 30), (33, 23)]
    assert pixels[1] == [(30, 61), (62, 45), (59, 119)]
    assert pixels[2] == [(116, 90), (156, 198), (373, 326)]


@pytest.mark.parametrize(
    ("size", "best"),
    [((10, 13), (0, 0)), ((64, 50), (1, 1)), ((400, 380), (2, 2)), ((2, 2), (0, 0))],
)
def test_a_box_belongs_to_the_prior_of_its_shape(
    size: tuple[int, int], best: tuple[int, int]
) -> None:
    assert best_prior(size[0] / 416, size[1] / 416, PRIORS) == best


def test_a_centre_on_the_last_edge_is_in_the_last_cell() -> None:
    assert target_of((0.9, 0.9, 1.1, 1.1)).positive.nonzero().tolist() == [[0, 0, 1, 1]]


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
    (found,) = yolo_targets([{0: torch.tensor([[0.1, 0.1, 0.4, 0.4]])}], known, [(2, 2)], ONE_PRIOR)
    assert found.positive.sum() == 1
    assert not found.empty.any()


def test_the_losses_are_the_sums_by_hand() -> None:
    # one positive at the first cell; three empty priors, one label
    found = target_of((0.125, 0.125, 0.375, 0.375))  # the middle of the cell, half of the prior
    assert found.boxes[0, 0, :, 0, 0].tolist() == pytest.approx(
        [0.5, 0.5, math.log(0.5), math.log(0.5)]
    )
    losses = yolo_loss([raw_map(0, 0, 1, 0, 2, -1)], [found], KNOWN)
    growth = (1 - math.log(0.5)) ** 2 + math.log(0.5) ** 2
    coordinates = 2.5 * (2 * math.log(2) + growth)
    assert losses["coordinates"].item() == pytest.approx(coordinates, rel=1e-5)
    objectness = math.log(1 + math.exp(-2)) + 0.5 * 3 * math.log(2)
    assert losses["objectness"].item() == pytest.approx(objectness, rel=1e-5)
    assert losses["classes"].item() == pytest.approx(math.log(1 + math.exp(1)), rel=1e-5)


def test_a_label_that_is_not_known_costs_nothing() -> None:
    known = torch.tensor([[True, False]])
    targets = yolo_targets([{0: torch.tensor([[0.1, 0.1, 0.4, 0.4]])}], known, [(2, 2)], ONE_PRIOR)
    level = raw_map(0, 0, 0, 0, 0, 3, 8, labels=2).requires_grad_()
    losses = yolo_loss([level], targets, known)
    assert losses["classes"].item() == pytest.approx(math.log(1 + math.exp(-3)), rel=1e-5)
    sum(losses.values(), torch.zeros(())).backward()
    assert level.grad is not None
    assert level.grad[:, :, 6].abs().max() == 0
    assert level.grad[0, 0, 4].count_nonzero() == 1  # the positive alone


def test_an_image_without_a_box_teaches_that_every_prior_is_empty() -> None:
    level = raw_map().requires_grad_()
    losses = yolo_loss([level], yolo_targets([{}], KNOWN, [(2, 2)], ONE_PRIOR), KNOWN)
    assert losses["coordinates"].item() == losses["classes"].item() == 0
    assert losses["objectness"].item() == pytest.approx(0.5 * 4 * math.log(2))
    losses["objectness"].backward()
    assert level.grad is not None
    assert (level.grad[:, :, 4] > 0).all()
