"""The rule of a ground head is chosen on what the validation split is known to show."""

import numpy as np
import pytest

from radiograph.manifest import PhraseRule
from tests.builders.training.parts.scripted_phrases import ScriptedHead, heat, radiograph
from training.evaluation.calibration.phrase_calibration import PhraseCalibration, fit_logistic
from training.evaluation.phrases.questions import Questionnaire
from training.metrics.arrays import FloatArray

ANATOMY = [q.text for q in Questionnaire("valid").about(radiograph("x").row) if q.present]
Answers = dict[str, tuple[float, FloatArray]]
TOP, BOTTOM = (slice(0, 2), slice(0, 2)), (slice(6, 8), slice(4, 8))


def answers(effusion: float, heart: FloatArray | None = None, anatomy: float = 4) -> Answers:
    found: Answers = {text: (anatomy, heat()) for text in ANATOMY}
    found["pleural effusion"] = (effusion, heat())
    if heart is not None:
        found["cardiomegaly"] = (4, heart)
    return found


def calibrated(head: ScriptedHead, *images: str) -> PhraseCalibration:
    """Odd images show an effusion; all show an enlarged heart, of 16 x 16 pixels."""
    calibration = PhraseCalibration(head)
    for number, image in enumerate(images):
        calibration.add(
            radiograph(image, {"Effusion": number % 2 == 1}, {"Cardiomegaly": [(0, 0, 16, 16)]})
        )
    return calibration


def rule_of(calibration: PhraseCalibration) -> PhraseRule:
    rule = calibration.spec().phrase_rule
    assert rule is not None
    return rule


def test_the_threshold_separates_what_is_shown_from_what_is_not() -> None:
    head = ScriptedHead.of({"a": answers(-2), "b": answers(1)})
    rule = rule_of(calibrated(head, "a", "b"))
    absent, present = (1 / (1 + np.exp(-(rule.scale * x + rule.offset))) for x in (-2, 1))
    assert absent < rule.threshold <= present


def test_the_threshold_of_the_map_gives_the_best_boxes() -> None:
    """Around the heart of 2 x 2 cells the whole map has the value 0.33."""
    wide = heat((slice(0, 8), slice(0, 8)), value=float(np.log(0.33 / 0.67)))
    wide[TOP] = 0.5  # the value 0.62
    head = ScriptedHead.of({"a": answers(-2, wide), "b": answers(1, wide)})
    assert 0.33 < rule_of(calibrated(head, "a", "b")).box_threshold <= 0.6


def test_false_boxes_raise_the_threshold_of_the_map() -> None:
    two = heat(TOP, value=2.0)
    two[BOTTOM] = 0.0  # 0.5
    head = ScriptedHead.of({"a": answers(-2, two), "b": answers(1, two)})
    assert rule_of(calibrated(head, "a", "b")).box_threshold > 0.5


def test_a_head_that_cannot_tell_gets_no_rule() -> None:
    head = ScriptedHead.of({"a": answers(1, anatomy=-9), "b": answers(-9, anatomy=-9)})
    spec = calibrated(head, "a", "b").spec()
    assert spec.phrase_rule is None
    assert "too low" in spec.threshold_rule


def test_without_radiographs_or_with_others_only_there_is_no_rule() -> None:
    empty = PhraseCalibration(ScriptedHead.of({}))
    empty.add(radiograph("teeth", {"Out of domain": True}))
    spec = empty.spec()
    assert spec.phrase_rule is None
    assert "no phrases" in spec.threshold_rule


def test_a_logistic_regression_recovers_the_probabilities() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=20_000)
    positive = rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))
    assert fit_logistic(logits, positive) == pytest.approx((0.5, -1), abs=0.05)
    assert fit_logistic(logits, ~positive) == (1, 0)  # a higher score is never less likely
