"""Further wordings and their meanings."""

import random

import pytest

from training.data.text.phrases import foreign_phrases
from training.data.text.phrases.grounding_phrases import draw
from training.data.text.phrases.paraphrases import (
    FINDING_WORDINGS,
    draw_anchors,
    draw_paraphrases,
    plain_form,
)
from training.data.text.phrases.unseen_wordings import (
    DEVELOPMENT,
    HELD_OUT,
    HELD_OUT_ELSEWHERE,
)
from training.data.text.phrases.wordings.absent import ABSENT_WORDINGS
from training.data.text.phrases.wordings.elsewhere import ELSEWHERE_WORDINGS
from training.data.text.phrases.wordings.heart import HEART
from training.data.text.phrases.wordings.lung_names import LUNG_NAMES
from training.data.text.phrases.wordings.lungs import LUNG_DETAILS
from training.evaluation.phrases.regions import ORGANS, TARGETS


def _rng(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - what is drawn is no secret


@pytest.mark.parametrize(
    "wordings", [DEVELOPMENT, HELD_OUT, {"elsewhere": HELD_OUT_ELSEWHERE}], ids=lambda w: len(w)
)
def test_unseen_wordings_are_never_learned(wordings: dict[str, tuple[str, ...]]) -> None:
    rng = _rng(0)
    drawn = {plain_form(w.text) for _ in range(600) for w in draw_paraphrases(50, rng)}
    drawn |= {plain_form(w.text) for _ in range(300) for w in draw_anchors(50, rng)}
    held = {plain_form(text) for texts in wordings.values() for text in texts}
    assert len(drawn) > 20_000
    assert not drawn & held


def test_no_list_holds_a_phrase_that_thresholds_are_chosen_or_measured_by() -> None:
    lists = (FINDING_WORDINGS, ABSENT_WORDINGS, ELSEWHERE_WORDINGS, LUNG_NAMES, {"heart": HEART})
    listed = {plain_form(t) for each in lists for texts in each.values() for t in texts}
    assert not listed & {plain_form(t) for texts in HELD_OUT.values() for t in texts}
    assert not listed & {plain_form(t) for t in HELD_OUT_ELSEWHERE}
    assert not listed & {*foreign_phrases.VALIDATION, *foreign_phrases.TEST}


def test_an_anchor_means_itself_and_a_paraphrase_something_else() -> None:
    anchors = draw_anchors(400, _rng(1))
    unchanged = [w for w in anchors if w.text == w.meaning]
    assert len(anchors) == 400
    assert 330 < len(unchanged) < 400  # the others are misspelt
    assert any(w.meaning.startswith("there is no ") for w in anchors)
    assert not any(w.text == w.meaning for w in draw_paraphrases(400, _rng(1)))


def test_what_a_paraphrase_means_is_known_to_the_heads() -> None:
    rng = _rng(2)
    trained = {p.text.removesuffix(".") for _ in range(3000) for p in draw(40, rng)}
    plain = {*ORGANS, *TARGETS} - {"foreign object"}
    assert {*ABSENT_WORDINGS, *ELSEWHERE_WORDINGS} <= trained
    means = {w.meaning for _ in range(300) for w in draw_paraphrases(40, rng)}
    assert plain <= means
    placed = means - plain - {*ABSENT_WORDINGS, *ELSEWHERE_WORDINGS}
    assert all("left" in text or "right" in text for text in placed)
    assert any("pleural effusion" in text for text in placed)


def test_what_is_not_located_is_learned_as_a_device_and_never_as_itself() -> None:
    """Ribs were trained as visible, without a place; they are not to be found in a lung."""
    elsewhere = {plain_form(t) for texts in ELSEWHERE_WORDINGS.values() for t in texts}
    rng = _rng(6)
    anchors = {plain_form(w.text) for _ in range(300) for w in draw_anchors(40, rng)}
    assert not anchors & elsewhere
    trained = {"ribs", "posterior ribs", "clavicles", "chest wall"}
    assert trained <= elsewhere
    learned = [w for _ in range(500) for w in draw_paraphrases(40, rng)]
    means = {w.meaning for w in learned if plain_form(w.text) in trained}
    assert means
    assert means <= set(ELSEWHERE_WORDINGS)


def test_the_side_of_a_wording_is_that_of_its_meaning() -> None:
    """Details of one lung name the other side where they say what it is not next to."""
    rng = _rng(3)
    drawn = [w for _ in range(200) for w in draw_paraphrases(40, rng)]
    lungs = [w for w in drawn if w.meaning in ("left lung", "right lung")]
    named = [w for w in lungs if w.text.startswith(("left ", "right "))]
    assert len(named) > 50
    assert all(w.meaning.startswith(w.text.split(" ")[0]) for w in named)
    assert {w.meaning for w in lungs} == {"left lung", "right lung"}
    assert not set(LUNG_DETAILS["left lung"]) & set(LUNG_DETAILS["right lung"])


def test_paraphrases_depend_on_the_seed_alone() -> None:
    assert draw_paraphrases(30, _rng(4)) == draw_paraphrases(30, _rng(4))
    assert draw_paraphrases(30, _rng(4)) != draw_paraphrases(30, _rng(5))
