"""Phrases: what is drawn, where it lies, and whether it is there."""

import random

import pytest
import torch

from training.data.rows.reader import Row
from training.data.text.grounding_phrases import (
    DEVELOPMENT,
    HELD_OUT,
    REGION_WORDINGS,
    Lungs,
    draw,
    presence,
)


def _row(table: str, *labels: str) -> Row:
    return Row(
        table=table, image="a.png", patient_id="a", split="train", text="", labels=labels,
        view="PA", sex="", age="", licence="", licence_class="open",
    )  # fmt: skip


def _rng(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - what is drawn is no secret


def _rectangle(rows: slice, columns: slice) -> torch.Tensor:
    mask = torch.zeros(1, 40, 40, dtype=torch.bool)
    mask[0, rows, columns] = True
    return mask


RIGHT, LEFT = slice(4, 16), slice(24, 36)
LUNGS = Lungs(left=_rectangle(slice(5, 35), LEFT), right=_rectangle(slice(5, 35), RIGHT))


@pytest.mark.parametrize("wordings", [DEVELOPMENT, HELD_OUT])
def test_wordings_to_measure_on_are_never_drawn(wordings: dict[str, tuple[str, ...]]) -> None:
    rng = _rng(0)
    drawn = {p.text.removesuffix(".").lower() for _ in range(2000) for p in draw(40, rng)}
    held = {text.lower() for texts in wordings.values() for text in texts}
    assert len(drawn) > 400
    assert not drawn & held


def test_every_batch_names_both_lungs_and_depends_on_the_seed_alone() -> None:
    phrases = draw(12, _rng(5))
    assert [p.concept for p in phrases[:2]] == ["left lung", "right lung"]
    assert len(phrases) == 12
    assert phrases == draw(12, _rng(5))


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


def test_the_heart_reaches_further_into_the_left_lung() -> None:
    heart = LUNGS.region("heart")
    assert int((heart & LUNGS.left).sum()) > int((heart & LUNGS.right).sum()) > 0


@pytest.mark.parametrize("concept", sorted(REGION_WORDINGS))
def test_every_concept_with_a_region_has_one_even_without_lungs(concept: str) -> None:
    assert LUNGS.region(concept).any()
    empty = Lungs(torch.zeros(1, 8, 8, dtype=torch.bool), torch.zeros(1, 8, 8, dtype=torch.bool))
    assert empty.region(concept).shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("labels", "concept", "expected"),
    [
        (("kermany_224", "normal"), "left lung", True),
        (("kermany_224", "normal"), "visible", True),
        (("kermany_224", "normal"), "absent", False),
        (("kermany_224", "normal"), "normal", True),
        (("kermany_224", "normal"), "device", False),
        (("kermany_224", "normal"), "Pneumonia", False),
        (("kermany_224", "normal"), "Effusion", False),
        (("kermany_224", "pneumonia", "viral"), "Pneumonia", True),
        (("kermany_224", "pneumonia", "viral"), "Effusion", None),
        (("kermany_224", "pneumonia", "viral"), "normal", False),
        (("kermany_224", "pneumonia", "viral"), "device", None),
        (("nih_subset", "Effusion"), "Effusion", True),
        (("nih_subset", "Effusion"), "Pneumonia", False),
        (("nih_subset", "No Finding"), "normal", True),
        (("nih_subset", "No Finding"), "device", None),
        (("covid_cxr",), "Pneumonia", None),
        (("covid_cxr",), "normal", None),
        (("covid_cxr",), "absent", False),
    ],
)
def test_presence(labels: tuple[str, ...], concept: str, expected: bool | None) -> None:
    assert presence(_row(*labels), concept) is expected
