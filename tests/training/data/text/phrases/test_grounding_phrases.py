"""Grounding phrases: which wordings are drawn."""

import random

import pytest

from training.data.text.phrases import foreign_phrases
from training.data.text.phrases.grounding_phrases import draw
from training.data.text.phrases.unseen_wordings import DEVELOPMENT, HELD_OUT


def _rng(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - what is drawn is no secret


@pytest.mark.parametrize("wordings", [DEVELOPMENT, HELD_OUT])
def test_held_out_wordings_are_never_drawn(wordings: dict[str, tuple[str, ...]]) -> None:
    rng = _rng(0)
    drawn = {p.text.removesuffix(".").lower() for _ in range(2000) for p in draw(40, rng)}
    held = {text.lower() for texts in wordings.values() for text in texts}
    assert len(drawn) > 400
    assert not drawn & held


def test_foreign_phrases_are_drawn_but_for_those_that_are_held_out() -> None:
    rng = _rng(1)
    drawn = {p.text.removesuffix(".").lower() for _ in range(3000) for p in draw(40, rng)}
    lists = foreign_phrases.TRAINED, foreign_phrases.VALIDATION, foreign_phrases.TEST
    trained, valid, test = ({text.lower() for text in texts} for texts in lists)
    assert trained < drawn
    assert drawn.isdisjoint(valid | test)
    assert valid.isdisjoint(test)


def test_every_batch_names_both_lungs_and_depends_on_the_seed_alone() -> None:
    phrases = draw(12, _rng(5))
    assert [p.concept for p in phrases[:2]] == ["left lung", "right lung"]
    assert len(phrases) == 12
    assert phrases == draw(12, _rng(5))


def test_findings_of_a_batch_are_among_its_phrases_some_with_a_side() -> None:
    findings = {"Effusion", "Nodule", "Left lung"}
    drawn = [draw(12, _rng(seed), findings) for seed in range(60)]
    assert all({"Effusion", "Nodule"} <= {p.concept for p in phrases} for phrases in drawn)
    sided = [p for phrases in drawn for p in phrases if p.concept == "Effusion" and p.side]
    assert 10 < len(sided) < 40
    assert all(p.side in p.text for p in sided)
    assert {p.zone for p in sided} == {"", "upper", "middle", "lower"}
    assert not any(p.side for phrases in drawn for p in phrases if p.concept == "Cardiomegaly")
