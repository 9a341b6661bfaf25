"""Other thresholds of a version: what they find, truly and falsely, within a budget."""

import pytest

from bench.accuracy.operating_points import (
    Answers,
    best_f1,
    cross_fitted,
    most_found,
    of_boxes,
    of_presence,
)


@pytest.fixture
def answers() -> Answers:
    """Ten radiographs; masses are found with few false boxes, nodules with many."""
    return Answers(
        radiographs=10,
        presences={True: [0.9, 0.6, 0.2], False: [0.7, 0.1, 0.1, 0.1]},
        peaks=[(0.9, True), (0.6, False), (0.2, True)],
        hits={"Mass": [0.8, 0.5], "Nodule": [0.3]},
        false={"Mass": [0.6], "Nodule": [0.9, 0.8, 0.7, 0.6, 0.5, 0.4] * 3},
        boxes={"Mass": 3, "Nodule": 1},
    )


def test_a_lower_threshold_of_presence_finds_more_of_either_kind(answers: Answers) -> None:
    assert of_presence(answers, 0.5) == "0.667 | 0.250 | 0.333 | 7"
    assert of_presence(answers, 0.1) == "1.000 | 1.000 | 0.667 | 7"


def test_boxes_of_a_label_without_threshold_are_not_served(answers: Answers) -> None:
    assert of_boxes([(answers, {"Mass": 0.55})]) == "0.250 | 0.100 | 4"
    assert of_boxes([(answers, {"Mass": 0.5, "Nodule": 0.3})]) == "0.750 | 1.900 | 4"
    assert of_boxes([(answers, {})]) == "0.000 | 0.000 | 4"


def test_the_budget_is_spent_on_the_label_that_gains_most(answers: Answers) -> None:
    assert most_found(answers, 0.0) == {"Mass": 0.8}
    assert most_found(answers, 0.1) == {"Mass": 0.5}
    assert most_found(answers, 1.9) == {"Mass": 0.5, "Nodule": 0.3}


def test_the_best_f1_of_a_finding_withholds_one_that_is_rarely_right(answers: Answers) -> None:
    # masses: 2 of 3 with one false box, F1 4 / 6, at any threshold up to 0.5
    assert best_f1(answers) == {"Mass": 0.1}


def test_thresholds_are_chosen_on_the_other_folds(answers: Answers) -> None:
    folds = [Answers(radiographs=1), answers, Answers(radiographs=2)]
    parts = cross_fitted(folds, lambda others: {"Mass": float(others.radiographs)})
    assert [chosen["Mass"] for _, chosen in parts] == [12.0, 3.0, 11.0]
    assert [part for part, _ in parts] == folds
