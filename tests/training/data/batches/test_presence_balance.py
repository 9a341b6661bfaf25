"""Weights of concepts that are rarely shown."""

from dataclasses import replace

import pytest
import torch

from training.data.batches.presence_balance import balanced_presence, weigh_presence
from training.data.batches.region_targets import RegionTargets
from training.data.rows.reader import Row
from training.data.text.phrases.grounding_phrases import Phrase

EFFUSION = Phrase("fluid in the pleural space", "Effusion")


def _row(**findings: bool) -> Row:
    row = Row(
        table="t", image="a.png", patient_id="a", split="train", text="", labels=(),
        view="PA", sex="", age="", licence="", licence_class="open",
    )  # fmt: skip
    return replace(row, findings=findings)


def test_shown_and_absent_have_the_same_sum() -> None:
    rows = [_row(Effusion=True), *[_row(Effusion=False)] * 3, _row()]
    weights = balanced_presence([(rows, [EFFUSION]), (rows, [EFFUSION])])
    assert weights["Effusion"].shown * 1 == pytest.approx(2)
    assert weights["Effusion"].absent * 3 == pytest.approx(2)


def test_a_weight_has_a_limit() -> None:
    rows = [_row(Effusion=True), *[_row(Effusion=False)] * 999]
    assert balanced_presence([(rows, [EFFUSION])])["Effusion"].shown == 10


def test_what_every_row_shows_has_no_weight() -> None:
    phrases = [Phrase("left lung", "left lung"), Phrase("banana", "absent"), EFFUSION]
    assert balanced_presence([([_row(), _row()], phrases)]) == {}


def test_only_known_presences_are_weighed() -> None:
    maps = torch.zeros(3, 2, 1, 1)
    known = torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    shown = torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    targets = RegionTargets(maps, maps, shown, known, torch.zeros(2))
    weights = balanced_presence([([_row(Effusion=True)] + [_row(Effusion=False)] * 3, [EFFUSION])])
    weighed = weigh_presence(targets, [EFFUSION, Phrase("heart", "heart")], weights)
    assert weighed.presence_weight[:, 0].tolist() == pytest.approx([2, 2 / 3, 0])
    assert weighed.presence_weight[:, 1].tolist() == [1, 1, 0]
