"""Regions derived from two rectangular lungs."""

import pytest
import torch

from training.data.batches.lung_regions import Lungs
from training.data.text.phrases.grounding_phrases import REGION_WORDINGS


def _rectangle(rows: slice, columns: slice) -> torch.Tensor:
    mask = torch.zeros(1, 40, 40, dtype=torch.bool)
    mask[0, rows, columns] = True
    return mask


RIGHT, LEFT = slice(4, 16), slice(24, 36)
LUNGS = Lungs(left=_rectangle(slice(5, 35), LEFT), right=_rectangle(slice(5, 35), RIGHT))


def test_the_patients_left_lung_is_on_the_right_of_the_image() -> None:
    columns = LUNGS.region("left lung")[0].any(dim=0).nonzero().flatten()
    assert columns.min() >= 20


@pytest.mark.parametrize(
    ("concept", "rows", "columns"),
    [
        ("left upper zone", slice(5, 15), LEFT),
        ("right middle zone", slice(15, 25), RIGHT),
        ("left lower zone", slice(25, 35), LEFT),
        ("left costophrenic angle", slice(27, 35), slice(31, 36)),
        ("right costophrenic angle", slice(27, 35), slice(4, 9)),
        ("left hemidiaphragm", slice(33, 36), LEFT),
        ("mediastinum", slice(8, 35), slice(16, 24)),
        ("trachea", slice(5, 15), slice(16, 24)),
    ],
)
def test_regions_of_two_rectangular_lungs(concept: str, rows: slice, columns: slice) -> None:
    found = LUNGS.region(concept)
    inside = torch.zeros_like(found)
    inside[0, rows, columns] = True
    assert torch.equal(found, inside)


def test_the_heart_extends_further_into_the_left_lung() -> None:
    heart = LUNGS.region("heart")
    assert int((heart & LUNGS.left).sum()) > int((heart & LUNGS.right).sum()) > 0


@pytest.mark.parametrize("concept", sorted(REGION_WORDINGS))
def test_every_region_is_defined_even_without_lungs(concept: str) -> None:
    assert LUNGS.region(concept).any()
    empty = Lungs(torch.zeros(1, 8, 8, dtype=torch.bool), torch.zeros(1, 8, 8, dtype=torch.bool))
    assert empty.region(concept).shape == (1, 8, 8)
