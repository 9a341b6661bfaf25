"""FCOS: decoding by hand, scores that never overflow, and what costs nothing."""

import math

import pytest
import torch
from torch import Tensor
from torchvision.models.detection.fcos import FCOS

from training.heads.detectors.fcos import FcosHead, FcosMaps, FcosTargets, fcos_targets, mean_logit

SIDES = (8, 4, 2)
"""Of the maps of a 64 px image."""


@pytest.fixture
def head() -> FcosHead:
    torch.manual_seed(0)
    return FcosHead((8, 12, 16), 2, width=32).eval()


def features(batch: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(batch, channels, side, side, generator=generator)
        for channels, side in zip((8, 12, 16), SIDES, strict=True)
    ]


def changed(maps: FcosMaps, cell: int, distances: list[float]) -> FcosMaps:
    """Every cell reaches nowhere but for one."""
    reach = torch.zeros_like(maps.distances)
    reach[:, cell] = torch.tensor(distances)
    return FcosMaps(maps.scores, reach, maps.centreness, maps.cells, maps.each, maps.size_px)


def targets_of(boxes: dict[int, Tensor]) -> FcosTargets:
    """Targets of one image of 64 px."""
    return fcos_targets([boxes], (64, 64), FcosHead.center_sampling_radius)


def test_losses_are_those_of_torchvision(head: FcosHead) -> None:
    maps = head.maps(*features(2))
    boxes = [{0: torch.tensor([[0.2, 0.2, 0.6, 0.7], [0.1, 0.5, 0.3, 0.9]])}, {1: torch.rand(0, 4)}]
    boxes[1][0] = torch.tensor([[0.0, 0.1, 0.9, 0.95]])
    theirs = [
        {
            "boxes": torch.cat(list(of_label.values())) * 64,
            "labels": torch.zeros(sum(map(len, of_label.values())), dtype=torch.long),
        }
        for of_label in boxes
    ]
    outputs = {
        "cls_logits": maps.scores,
        "bbox_regression": maps.distances,
        "bbox_ctrness": maps.centreness,
    }
    cells = [maps.cells.float()] * 2
    expected = FCOS.compute_loss(head, theirs, outputs, cells, list(maps.each))
    targets = fcos_targets(boxes, (64, 64), head.center_sampling_radius)
    found = head.losses_of(maps, targets, torch.ones(2, 2, dtype=torch.bool))
    assert (targets.labels >= 0).sum() > 10
    for one, other in zip(found.values(), expected.values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_cells_are_those_of_all_levels_row_by_row(head: FcosHead) -> None:
    maps = head.maps(*features())
    assert maps.each == (64, 16, 4)
    assert maps.size_px == (64, 64)
    assert maps.cells[9].tolist() == [8, 8, 16, 16]
    assert maps.cells[64 + 1].tolist() == [16, 0, 32, 16]
    assert maps.cells[-1].tolist() == [32, 32, 64, 64]


def test_distances_are_in_cells_from_the_centre(
    head: FcosHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = changed(head.maps(*features()), 64 + 5, [1.0, 0.5, 0.25, 9.0])  # row 1, column 1: 24, 24
    monkeypatch.setattr(head, "maps", lambda *_: maps)
    answer = head(*features())
    assert answer["boxes"].shape == (2, 84, 4)
    assert answer["logits"].shape == (2, 2, 84)
    assert answer["boxes"][0, 69].tolist() == pytest.approx([8 / 64, 16 / 64, 28 / 64, 1.0])
    assert answer["boxes"][0, 0].tolist() == pytest.approx([4 / 64] * 4)


def test_the_score_is_the_geometric_mean() -> None:
    one, other = torch.tensor([1.5, -2.0]), torch.tensor([-0.5, -3.0])
    expected = (one.sigmoid() * other.sigmoid()).sqrt()
    assert mean_logit(one, other).sigmoid().tolist() == pytest.approx(expected.tolist())


@pytest.mark.parametrize(
    ("one", "other", "logit"),
    [
        (300.0, 300.0, 300.0),
        (-300.0, -300.0, -300.0),
        (-300.0, 300.0, -150.0),
        (40.0, 40.0, 40.0),
        (3e4, -3e4, -1.5e4),
    ],
)
def test_an_extreme_score_is_finite(one: float, other: float, logit: float) -> None:
    found = mean_logit(torch.tensor([one]), torch.tensor([other]))
    assert found.item() == pytest.approx(logit, abs=1)


def test_an_image_without_a_box_teaches_that_every_cell_is_empty(head: FcosHead) -> None:
    maps = head.maps(*features(1))
    losses = head.losses_of(maps, targets_of({}), torch.ones(1, 2, dtype=torch.bool))
    assert set(losses) == {"classification", "edges", "centreness"}
    p = maps.scores.sigmoid()
    expected = (0.75 * p**2 * -torch.log1p(-p)).sum().item()
    assert losses["classification"].item() == pytest.approx(expected, rel=1e-4)
    assert losses["edges"].item() == losses["centreness"].item() == 0


def test_a_label_that_is_not_known_costs_nothing(head: FcosHead) -> None:
    known = torch.tensor([[True, False]])
    maps = head.maps(*features(1))
    maps.scores.retain_grad()
    losses = head.losses_of(maps, targets_of({0: torch.tensor([[0.2, 0.2, 0.6, 0.7]])}), known)
    sum(losses.values(), torch.zeros(())).backward()
    assert maps.scores.grad is not None
    assert maps.scores.grad[..., 1].abs().max() == 0
    assert (maps.scores.grad[..., 0] != 0).all()


def test_cells_near_the_centre_of_a_box_learn_its_edges(head: FcosHead) -> None:
    maps = head.maps(*features(1))
    maps.distances.retain_grad()
    box = torch.tensor([[16, 16, 40, 32]]) / 64  # centre 28, 24: the cells' centres 20, 28, 36 ...
    losses = head.losses_of(maps, targets_of({0: box}), torch.ones(1, 2, dtype=torch.bool))
    losses["edges"].backward()
    assert maps.distances.grad is not None
    learnt = maps.distances.grad[0].abs().sum(dim=1).nonzero().flatten().tolist()
    # within 1.5 cells (12 px) and inside of the box: columns 2, 3, 4 of rows 2 and 3
    assert learnt == [8 * row + column for row in (2, 3) for column in (2, 3, 4)]


def test_exact_distances_cost_only_their_unsure_scores(head: FcosHead) -> None:
    maps = head.maps(*features(1))
    box = torch.tensor([[16.0, 16.0, 24.0, 24.0]])  # one cell, whose centre is the box's
    reach = torch.full_like(maps.distances, 0.5)
    exact = FcosMaps(maps.scores, reach, maps.centreness, maps.cells, maps.each, maps.size_px)
    losses = head.losses_of(exact, targets_of({0: box / 64}), torch.ones(1, 2, dtype=torch.bool))
    assert losses["edges"].item() == pytest.approx(0, abs=1e-5)
    centre = maps.centreness[0, 8 * 2 + 2, 0].item()
    assert losses["centreness"].item() == pytest.approx(math.log(1 + math.exp(-centre)), rel=1e-4)
