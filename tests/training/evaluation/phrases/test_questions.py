"""Questions about radiographs: what is known to be shown, and what is never shown."""

from tests.builders.training.parts.scripted_phrases import radiograph
from training.data.text.phrases import foreign_phrases
from training.data.text.phrases.unseen_wordings import HELD_OUT
from training.evaluation.phrases.questions import Questionnaire


def test_findings_are_asked_as_far_as_they_are_known() -> None:
    row = radiograph("a", {"Effusion": True, "Mass": False, "Hernia": True}).row
    asked = {q.text: q.present for q in Questionnaire("valid").about(row) if q.group == "findings"}
    assert asked == {"pleural effusion": True, "lung mass": False}


def test_anatomy_is_present_and_foreign_phrases_are_absent() -> None:
    questions = Questionnaire("test").about(radiograph("a").row)
    assert {(q.group, q.present) for q in questions} == {("anatomy", True), ("foreign", False)}
    asked = {q.text for q in questions}
    assert asked > {"banana", "a photo of a cat"}
    assert asked > {*HELD_OUT["left lung"], *HELD_OUT["right lung"], *HELD_OUT["heart"]}


def test_choosing_and_measuring_share_no_foreign_and_no_anatomical_phrase() -> None:
    row = radiograph("a").row
    valid, test = ({q.text for q in Questionnaire(split).about(row)} for split in ("valid", "test"))
    assert valid.isdisjoint(test)
    assert {*foreign_phrases.VALIDATION} < valid
    assert {*foreign_phrases.TEST} < test


def test_nothing_is_asked_about_what_is_no_chest_radiograph() -> None:
    assert Questionnaire("valid").about(radiograph("teeth", {"Out of domain": True}).row) == []
