"""Figures of a published version: a subtype beside an absent finding is counted."""

from bench.accuracy.published_version import Figures, add_contradictions
from radiograph.postprocess.heads import Finding


def finding(name: str, positive: bool) -> Finding:
    return Finding(name, None, 0.5, 0.5, positive=positive)


def test_a_subtype_without_its_finding_is_counted() -> None:
    figures = Figures()
    for pneumonia, viral in ((True, True), (True, False), (False, True), (False, False)):
        answers = [finding("Pneumonia", pneumonia), finding("Viral pneumonia", viral)]
        add_contradictions(answers, figures)
    assert dict(figures.means) == {
        ("present without pneumonia", "Viral pneumonia"): [0.0, 0.0, 1.0, 0.0]
    }


def test_a_finding_that_is_withheld_is_contradicted_by_nothing() -> None:
    figures = Figures()
    add_contradictions([finding("Viral pneumonia", True)], figures)
    assert not figures.means
