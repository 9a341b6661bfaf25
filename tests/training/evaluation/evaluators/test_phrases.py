"""Figures of decisions on phrases, counted by hand."""

import numpy as np
import pytest

from radiograph.manifest import PhraseRule
from tests.builders.training.parts.scripted_phrases import ScriptedHead, heat, radiograph
from training.evaluation.evaluators.phrases import PhraseFigures
from training.evaluation.phrases.questions import Questionnaire
from training.evaluation.predictions import Prediction
from training.metrics.arrays import FloatArray

RULE = PhraseRule(scale=1, offset=0, threshold=0.5, box_threshold=0.5)
QUESTIONS = Questionnaire("test")
TOP, BOTTOM = (slice(0, 2), slice(0, 2)), (slice(6, 8), slice(4, 8))
SHOWN = radiograph("a", {"Effusion": True, "Mass": False}, {"Effusion": [(0, 0, 16, 16)]})


def figures(
    answers: dict[str, tuple[float, FloatArray]], prediction: Prediction = SHOWN
) -> dict[tuple[str, str], float]:
    kept = PhraseFigures(ScriptedHead.of({prediction.row.image: answers}, RULE), "set", QUESTIONS)
    kept.add(prediction)
    found = [figure.metric() for figure in kept.figures()]
    assert all(metric.metric.endswith(" (aligned)") for metric in found)
    return {(m.label, m.metric.removesuffix(" (aligned)")): m.value for m in found}


def test_right_decisions_are_counted_by_group() -> None:
    foreign = sum(question.group == "foreign" for question in QUESTIONS.about(SHOWN.row))
    found = figures({"pleural effusion": (3, heat(TOP)), "banana": (3, heat(TOP, BOTTOM))})
    assert found["findings phrases", "found"] == 1
    assert found["findings phrases", "not found"] == 1  # no mass
    assert found["anatomy phrases", "found"] == 0
    assert found["foreign phrases", "not found"] == pytest.approx(1 - 1 / foreign, abs=1e-4)
    assert found["all phrases", "false boxes"] == 2  # both of the banana


def test_boxes_are_compared_with_those_that_are_known() -> None:
    found = figures({"pleural effusion": (3, heat(TOP, BOTTOM))})
    assert found["pleural effusion", "pointing, where found"] == 1
    assert found["pleural effusion", "box recall at iou 0.3"] == 1
    assert found["all phrases", "false boxes"] == 1


def test_a_phrase_that_was_not_found_points_nowhere_and_misses_its_box() -> None:
    found = figures({"pleural effusion": (-3, heat(TOP))})
    assert ("pleural effusion", "pointing, where found") not in found
    assert found["pleural effusion", "box recall at iou 0.3"] == 0
    assert found["findings phrases", "found"] == 0


def test_presence_is_ranked_over_all_phrases() -> None:
    anatomy = [q.text for q in QUESTIONS.about(SHOWN.row) if q.group == "anatomy"]
    right = {text: (3.0, heat()) for text in [*anatomy, "pleural effusion"]}
    assert figures(right)["all phrases", "presence auroc"] == 1
    assert figures(right)["all phrases", "presence ece"] < 0.05
    wrong = right | {"lung mass": (9.0, heat())}
    assert figures(wrong)["all phrases", "presence auroc"] < 1


def test_what_is_no_chest_radiograph_is_left_out() -> None:
    teeth = radiograph("teeth", {"Out of domain": True})
    assert figures({"banana": (9, np.zeros((8, 8), np.float32))}, teeth) == {}
