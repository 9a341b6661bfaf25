"""Short statements: words, sides of the patient, zones, and what is true of which image."""

import random

import numpy as np
import pytest
import torch

from radiograph.geometry.geometry import Box
from training.config.augmentation import (
    Augmentation,
    AugmentConfig,
    PaperAugmentConfig,
    ReleasedAugmentConfig,
)
from training.config.pretrain import SentenceConfig
from training.data.augmentation.augment import augment
from training.data.batches.statements import Facts, Statement, draw, mask_boxes, places, truth_table

IMAGE = np.full((120, 160), 200, dtype=np.uint8)
IMAGE[:, :40] = 0  # padding: what is shown are the columns 40 to 160
LEFT, RIGHT = np.zeros((2, 120, 160), dtype=bool)
RIGHT[30:90, 50:90] = LEFT[24:84, 110:150] = True  # the right lung is on the left of the image


def _place(box: Box, *, lungs: bool) -> set[str]:
    found = places([("Mass", box)], IMAGE, (LEFT, RIGHT) if lungs else None)
    return set(found.get("Mass", ()))


@pytest.mark.parametrize(
    ("box", "with_lungs", "without"),
    [
        ((55, 72, 70, 88), {"right lower"}, {"right middle", "right lower"}),
        ((120, 72, 135, 84), {"left lower"}, {"left middle", "left lower"}),
        ((115, 26, 130, 40), {"left upper"}, {"left upper"}),
        ((55, 40, 70, 60), {"right upper", "right middle"}, {"right middle"}),
        ((60, 88, 80, 110), {"right lower"}, {"right lower"}),
        ((80, 50, 120, 70), set(), set()),  # on both sides
    ],
)
def test_side_is_the_patients_and_zones_are_thirds_of_its_lung(
    box: Box, with_lungs: set[str], without: set[str]
) -> None:
    assert _place(box, lungs=True) == with_lungs
    assert _place(box, lungs=False) == without


def test_central_findings_have_no_place() -> None:
    assert places([("Cardiomegaly", (55, 72, 70, 88))], IMAGE, None) == {}


def test_each_component_of_a_mask_is_a_region() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[2:5, 3:9] = mask[10:12, 1:4] = True
    assert list(mask_boxes(mask)) == [(3, 2, 9, 5), (1, 10, 4, 12)]


ILL = Facts({"Pleural_Effusion": True, "Mass": False}, {"Mass": frozenset({"right lower"})})
WELL = Facts({"Pleural_Effusion": False, "Mass": False}, {})
UNKNOWN = Facts({}, {})


def _random() -> random.Random:
    return random.Random(0)  # noqa: S311 - what is drawn is no secret


def test_statements_are_true_false_or_not_known() -> None:
    statements = [
        Statement("Pleural_Effusion", True),
        Statement("Pleural_Effusion", False),
        Statement("Mass", True, "right lower"),
        Statement("Mass", True, "left lower"),
    ]
    table = truth_table([ILL, WELL, UNKNOWN], statements)
    assert table.tolist() == [[1, -1, 1, -1], [-1, 1, -1, -1], [0, 0, 0, 0]]
    assert [each.text for each in statements] == [
        "pleural effusion - present",
        "pleural effusion - absent",
        "mass in the right lower zone",
        "mass in the left lower zone",
    ]


def test_positive_statements_are_drawn_first_and_equal_ones_once() -> None:
    both = SentenceConfig(presence=True, location=True, each=2)
    drawn = draw([ILL, ILL], both, _random())
    assert set(drawn) == {
        Statement("Pleural_Effusion", True),
        Statement("Mass", True, "right lower"),
    }
    assert draw([ILL, WELL], SentenceConfig(), _random()) == []
    only = draw([ILL, WELL, UNKNOWN], SentenceConfig(location=True), _random())
    assert only == [Statement("Mass", True, "right lower")]


@pytest.mark.parametrize(
    "config",
    [AugmentConfig(), PaperAugmentConfig(kind="paper"), ReleasedAugmentConfig(kind="released")],
    ids=lambda config: str(config.kind),
)
def test_augmentation_never_mirrors(config: Augmentation) -> None:
    matrix = augment(
        torch.rand(64, 1, 32, 32), None, config, torch.Generator().manual_seed(0)
    ).geometry.matrix
    assert bool((torch.linalg.det(matrix) > 0).all())
    ends = (
        torch.tensor([[0.2, 0.5, 1.0], [0.8, 0.5, 1.0]]) @ matrix.mT
    )  # left and right of the middle
    assert bool((ends[:, 0, 0] / ends[:, 0, 2] < ends[:, 1, 0] / ends[:, 1, 2]).all())
