"""Pointing with unseen wordings: what counts, and what a row of the table says."""

import numpy as np
import pytest

from bench.accuracy.wordings import NOWHERE, Shares, add
from radiograph.postprocess.grounding import Grounding, Presence
from training.evaluation.phrases.regions import TrueRegion


def _answer(phrase: str, peak: tuple[float, float] | None, probability: float) -> Grounding:
    heat = np.zeros((2, 2), dtype=np.float32)
    decided = Presence(probability, 0.5)
    return Grounding(phrase, "aligned", 0.5, heat, peak=peak, presence=decided)


def test_pointing_counts_whether_the_phrase_was_found_or_not() -> None:
    left_half = np.zeros((4, 4), dtype=bool)
    left_half[:, :2] = True
    region, shares = TrueRegion(left_half, ((0.0, 0.0, 2.0, 4.0),)), Shares()
    answers = [
        _answer("heart", (0.5, 0.5), 0.9),
        _answer("cor", (1.5, 0.5), 0.1),
        _answer("pump", (3.5, 3.5), 0.9),
        _answer("flat", None, 0.9),
    ]
    add(shares, region, answers)
    assert shares.pointing == {"heart": [True], "cor": [True], "pump": [False], "flat": [False]}
    assert shares.found == {"heart": [True], "cor": [False], "pump": [True], "flat": [True]}
    row = shares.row("a_set", "heart")
    assert row == "| a_set | heart | 1.000 | 0.333 | 0.667 | pump | 0.000 | 1 |"


@pytest.mark.parametrize("concept", NOWHERE)
def test_phrases_that_are_not_to_be_found_have_no_region(concept: str) -> None:
    shares = Shares()
    add(shares, None, [_answer("screwdriver", (0.5, 0.5), 0.2), _answer("kitten", None, 0.7)])
    assert not shares.pointing
    assert shares.row("a_set", concept) == f"| a_set | {concept} | | | 0.500 | | | 1 |"
